"""``zoo finetune BACKBONE``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo.cli._command import GroupedCommand
from zoo.cli._common import (
    BackboneName,
    DataSource,
    echo,
    json_option,
    print_json,
    progress_for,
    runs_option,
    settings_options,
)
from zoo.escape import printable
from zoo.progress import Progress

if TYPE_CHECKING:
    from zoo.records import RunRecord
    from zoo.runs import Run


@click.command("finetune", cls=GroupedCommand)
@click.argument("backbone", type=BackboneName(), required=False)
@click.option(
    "--data",
    type=DataSource(),
    metavar="SRC",
    help="A folder of class folders; a folder with train/ and val/ or test/; a manifest.csv (path, "
    "label, split); tfds:NAME; or a built-in set (elpv, digits).  [default: elpv]",
)
@click.option("--name", metavar="NAME", help="Name of the run.  [default: backbone-data-number]")
@runs_option
@click.option(
    "--config", metavar="FILE", help="Settings from a .toml, .yaml or .json file, or a run.json."
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run (--name, or the last).")
@click.option("--dry-run", is_flag=True, help="Print the plan and train nothing.")
@json_option
@settings_options
def command(
    backbone: str | None,
    data: str | None,
    name: str | None,
    runs_dir: str | None,
    config: str | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a classifier on a folder of images.

    BACKBONE is a family (efficientnet, resnet, mobilenet, cnn), a variant (`zoo list`), or hub: and
    the URL, folder or .tar.gz of an image feature vector of TF Hub.

    The backbone's frozen features are computed once, a linear head is fitted on them, and the upper
    blocks are fine-tuned from that head. The better on validation is kept, or their average; the
    test images are predicted once, at the end.

    \b
    Examples:
      zoo finetune efficientnet
      zoo finetune mobilenet --data photos/ --epochs 10 --augment strong
      zoo finetune cnn --data digits --blocks 3
      zoo finetune efficientnet --data photos/ --unfreeze none    # seconds
    """
    progress = progress_for(as_json)
    from zoo.runs import RunWriter, last_unfinished

    if dry_run and resume:
        raise click.UsageError("--dry-run and --resume exclude each other: give one of them")
    if dry_run:
        if name:
            RunWriter(name, runs_dir)  # which refuses a name, and makes nothing yet
        _print_plan(backbone, data, config, settings, progress, as_json)
        return
    import zoo

    if resume:
        name = name or last_unfinished(runs_dir)
    else:
        if name:
            RunWriter(name, runs_dir)  # which refuses a name, and makes nothing yet
        data = checked_data(backbone, data, config, settings, progress)
    run = zoo.finetune(
        backbone,
        data,
        name=name,
        runs_dir=runs_dir,
        config=config,
        resume=resume,
        progress=progress,
        **settings,
    )
    if as_json:
        print_json({"run": run.name, "path": str(run.path), "metrics": run.metrics})
        return
    _print_result(run)
    where = f" --runs-dir {runs_dir}" if runs_dir else ""
    echo(f"next  zoo predict {run.name} IMAGE...{where}")


def checked_data(
    backbone: str | None,
    data: str | None,
    config: str | None,
    settings: dict[str, Any],
    progress: Progress,
) -> str:
    """What is trained on, after all settings were checked: before anything slow is imported."""
    import warnings

    from zoo.data.sources import check_place
    from zoo.deprecated import RenamedWarning
    from zoo.train.plan import collect_settings, resolve

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedWarning)  # the training itself says it
        collected = collect_settings(backbone, data, config, settings, progress)
        resolve(collected)
    check_place(collected.data)
    return collected.data


def _print_result(run: Run) -> None:
    from zoo.cli._metrics import metrics_table, where_and_when

    echo(_kept(run.record))
    echo(f"\n{metrics_table(run.metrics)}\n")
    echo(where_and_when(run))


def _kept(record: RunRecord) -> str:
    """Which of probe and fine-tuning was kept, and why."""
    trained = record.get("folds") or record.get("before_refit") or record["kept"]
    lines = []
    for i, member in enumerate(trained, start=1):
        stages = {
            "probe": member.get("probe"),
            "finetune": member.get("finetune"),
            "average": member.get("average"),
        }
        parts = [
            f"{stage} {found['val_loss']:.3f} ({found['val_accuracy']:.3f})"
            for stage, found in stages.items()
            if found
        ]
        what = f"epoch {member['best_epoch']}" if member["best_epoch"] else "the probe"
        prefix = f"fold {i}: " if len(trained) > 1 else ""
        reason = ""
        if not member["best_epoch"] and "finetune" in member:
            reason = ": fine-tuning is not distinguishable from it, or worse"
        if "average" in member:
            what = f"the average of the probe's weights and those of epoch {member['best_epoch']}"
            reason = ": on validation the two are not distinguishable"
        lines.append(f"{prefix}kept {what}{reason}; validation loss (accuracy): {', '.join(parts)}")
    if trained is not record["kept"]:
        epochs = record["kept"][0]["best_epoch"]
        what = f"{epochs} epochs of fine-tuning" if epochs else "the probe"
        by = "as most folds chose" if "folds" in record else "as validation chose"
        lines.append(f"refit on training and validation images: {what}, {by}")
    return "\n".join(lines)


def _print_plan(
    backbone: str | None,
    data: str | None,
    config: str | None,
    settings: dict[str, Any],
    progress: Any,
    as_json: bool,
) -> None:
    from zoo.data.dataset import load
    from zoo.data.tree import tree
    from zoo.train.plan import collect_settings, resolve
    from zoo.train.remarks import data_remarks

    resolved = resolve(collect_settings(backbone, data, config, settings, progress))
    dataset = load(resolved.settings, progress)
    if as_json:
        print_json({"settings": resolved.settings.as_dict(), "data": dataset.summary()})
        return
    echo("\n".join(printable(line) for line in [*data_remarks(dataset), *tree(dataset)]))
    spec = resolved.spec
    parameters = f"{spec.parameters / 1e6:.1f} M parameters, "
    if resolved.options != spec.options:
        parameters = ""  # they are known of the default settings only
    echo(
        f"{spec.name}: {parameters}{resolved.settings.size} px, weights {resolved.settings.weights}"
    )
    for name, value in resolved.settings.as_dict().items():
        if name not in {"backbone", "weights", "size"} and value is not None:
            echo(f"  {name} = {printable(str(value))}")
    echo("nothing was trained (--dry-run)")

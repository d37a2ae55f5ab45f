"""``zoo auto``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo.cli._command import Command
from zoo.cli._common import (
    BackboneNames,
    DataSource,
    echo,
    json_option,
    print_json,
    progress_for,
    runs_option,
)

if TYPE_CHECKING:
    from zoo.automatic.result import AutoResult, Planned


@click.command("auto", cls=Command)
@click.option(
    "--data", type=DataSource(), metavar="SRC", help="As of `zoo finetune`.  [default: elpv]"
)
@click.option("--time", metavar="TIME", help="For everything: 90s, 30m, 2h.  [default: by quality]")
@click.option(
    "--quality",
    metavar="fast|good|best",
    default="good",
    show_default=True,
    help="In place of a time: 2 minutes, 15 minutes or 1 hour.",
)
@click.option(
    "--backbones",
    type=BackboneNames(),
    metavar="A,B,...",
    help="To try, also with weights: mobilenet=FILE.  [default: all whose weights are here]",
)
@click.option(
    "--budget-ms", type=float, metavar="MS", help="Milliseconds per image that the result may take."
)
@click.option(
    "--set", "pinned", multiple=True, metavar="SETTING=VALUE", help="A setting of all runs."
)
@click.option("--name", metavar="NAME", help="Name of the result.  [default: auto-data]")
@runs_option
@click.option("--dry-run", is_flag=True, help="Print the plan with predicted seconds, and stop.")
@click.option("--wide", is_flag=True, help="Print all columns, wider than the terminal.")
@json_option
def command(
    data: str | None,
    time: str | None,
    quality: str,
    backbones: list[str] | None,
    budget_ms: float | None,
    pinned: tuple[str, ...],
    name: str | None,
    runs_dir: str | None,
    dry_run: bool,
    wide: bool,
    as_json: bool,
) -> None:
    """Find the best classifier that the data, this machine and the time allow.

    Probes every backbone whose weights are here, fine-tunes and varies the best of them as long as
    the time allows, and combines what is better together. Choices are made on out-of-fold or
    validation predictions; the test images are read once by each run.

    Ctrl-C ends with the best so far. After a kill, the same command continues.

    \b
    Examples:
      zoo auto --data photos/ --time 30m
      zoo auto --data photos/ --quality fast
      zoo auto --data photos/ --time 1h --backbones efficientnet,mobilenet=FILE.h5
      zoo auto --data photos/ --time 30m --dry-run
    """
    import zoo
    from zoo.overrides import parse_overrides

    given = parse_overrides(pinned)
    progress = progress_for(as_json)
    if dry_run:
        from zoo.automatic.job import plan

        steps = plan(
            data,
            time=time,
            quality=quality,
            backbones=backbones or (),
            progress=progress,
            **given,
        )
        _show_plan(steps, as_json)
        return
    result = zoo.auto(
        data,
        time=time,
        quality=quality,
        backbones=backbones or (),
        budget_ms=budget_ms,
        name=name,
        runs_dir=runs_dir,
        progress=progress,
        **given,
    )
    if as_json:
        print_json(result.as_record())
    else:
        echo(auto_text(result, wide))


def _show_plan(steps: list[Planned], as_json: bool) -> None:
    from dataclasses import asdict

    from zoo.automatic.words import time_in_words
    from zoo.cli._tables import fitted, terminal_width

    total = sum(step.seconds for step in steps)
    if as_json:
        print_json({"steps": [asdict(step) for step in steps], "seconds": round(total, 1)})
        return
    rows = [[f"{step.seconds:.0f}", step.what, step.why] for step in steps]
    headers = ["predicted s", "run", "why"]
    echo(fitted(headers, rows, [1, 0, 2], width=terminal_width(), right={0}))
    echo(
        f"\n{time_in_words(total)} in all, as if the first backbone had the best probe; "
        f"nothing was trained (--dry-run)"
    )


def auto_text(result: AutoResult, wide: bool = False) -> str:
    """The result as the command prints it."""
    from zoo.automatic.words import headline
    from zoo.cli._tables import fitted, terminal_width

    split = "out-of-fold" if result.split == "oof" else "validation"
    headers = ["run", "what it is", f"{split} loss", "test accuracy", "test log loss", "ms", "s"]
    rows = [
        [
            ("* " if row.run == result.run.name else "  ") + row.run,
            row.what,
            _figure(row.judged.get("log_loss")),
            _figure(row.test.get("accuracy"), True),
            _figure(row.test.get("log_loss"), True),
            "" if row.ms_per_image is None else f"{row.ms_per_image:.1f}",
            f"{row.seconds:.0f}",
        ]
        for row in result.rows
    ]
    shown = fitted(
        headers, rows, [0, 1, 3, 2, 5, 6, 4], width=terminal_width(), wide=wide, right={5, 6}
    )
    failed = [
        f"{step.run} failed: {step.reason}" for step in result.steps if step.state == "failed"
    ]
    return "\n".join(
        [
            headline(result),
            "",
            shown,
            f"* the result; chosen by {split} predictions, 95% intervals in brackets",
            *failed,
            "",
            f"run   {result.run.path}",
            f"page  {result.folder / 'auto.html'}",
            f"next  zoo predict {result.run.name} IMAGE...",
        ]
    )


def _figure(found: object, interval: bool = False) -> str:
    if not isinstance(found, dict) or found.get("value") is None:
        return ""
    text = f"{found['value']:.3f}"
    if interval and found.get("low") is not None:
        text += f" [{found['low']:.3f}, {found['high']:.3f}]"
    return text

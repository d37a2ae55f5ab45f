"""``zoo auto``: plan within the time, train, combine, and say what was done and why."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np

from backbones import BackboneError
from ensembles import EnsembleError
from ensembles.comparison import compare
from zoo import paths
from zoo.automatic.cost import Costs, Speed, kind_of, measure
from zoo.automatic.journal import Journal, Step, open_journal
from zoo.automatic.plan import SYMMETRIES, Proposal, cheaper, probe_of, proposals, symmetric_probe
from zoo.automatic.request import Candidate, candidates, seconds
from zoo.automatic.result import AutoResult, Planned, selection_split
from zoo.combine.job import ensemble
from zoo.data.dataset import Dataset, load
from zoo.data.inspect import inspect
from zoo.errors import ZooError, disk_errors
from zoo.keywords import SharedSettings
from zoo.progress import Progress, for_python
from zoo.run_names import check_name, plain_name
from zoo.runs import Run, open_run, unfinished
from zoo.train.deadline import deadline
from zoo.train.job import finetune
from zoo.train.plan import ResolvedPlan, collect_settings, resolve
from zoo.train.remarks import data_remarks

_RESERVE = 15.0  # seconds kept for combining and evaluating
_SHARE = 0.6  # of the time left that one step may be predicted to take, unless it is the first
_TEST_SHARE = 0.25  # of the time left that the question whether images may be turned may take
_OPTIMISM = 1.15  # predictions are taken for this much longer when the time is checked
_SMALLER = (160, 128, 96, 64)  # pixels, where a probe at the usual size takes too long
_TINY = 96  # pixels that are enough for the smallest images
_FEWER = (20, 10, 5)  # epochs from scratch, where the usual ones take too long


def auto(
    data: str | Path | None = None,
    *,
    time: str | float | None = None,
    quality: str = "good",
    backbones: Sequence[str] = (),
    budget_ms: float | None = None,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Unpack[SharedSettings],
) -> AutoResult:
    """The best classifier that the data, this machine and the given time allow.

    A linear probe of every backbone whose weights are on this machine comes first; then the best of
    them are fine-tuned and varied, as far as their predicted seconds fit the time; then the runs
    are combined. All choices are made on out-of-fold or validation predictions; the test images
    are read once by each run, at its end. The same call continues after an interruption.

    Args:
        data: see :func:`zoo.finetune`.
        time: of everything, in seconds or such as ``30m``; that of ``quality`` if None.
        quality: ``fast`` (2 minutes), ``good`` (15 minutes) or ``best`` (1 hour).
        backbones: to try, as names or ``NAME=WEIGHTS`` with a file of weights; all whose weights
            are on this machine if empty.
        budget_ms: milliseconds per image that the result may take at most.
        name: of the result; ``auto`` and the data if None.
        runs_dir: folder of the runs; ``ZOO_RUNS`` or ``./runs`` if None.
        progress: shows the steps.
        **settings: the same in all runs; see :class:`zoo.settings.Settings`.

    Raises:
        ZooError, BackboneError: one sentence that says what is wrong.
    """
    search = _begin(data, time, quality, backbones, name, runs_dir, progress, dict(settings))
    with disk_errors(search.journal.folder):
        return _carry_out(search, budget_ms)


def plan(
    data: str | Path | None = None,
    *,
    time: str | float | None = None,
    quality: str = "good",
    backbones: Sequence[str] = (),
    progress: Progress | None = None,
    **settings: Unpack[SharedSettings],
) -> list[Planned]:
    """What :func:`auto` would do, with predicted seconds, as if the first backbone were the best.

    Builds and times the networks; trains nothing.
    """
    folder = paths.runs_dir(None)
    search = Search.of(data, time, quality, backbones, dict(settings), folder, "plan", progress)
    found, left = [], search.left
    probed: dict[Candidate, float] = {}
    for candidate in search.candidates:
        chosen = search.affordable_probe(candidate)
        if chosen is None:
            continue
        proposal, predicted = chosen
        found.append(Planned(proposal.words, proposal.why, predicted))
        left -= predicted
        probed[candidate] = float(len(probed))
    if (asked := search.symmetric_probe(next(iter(probed), None), left)) is not None:
        found.append(Planned(asked[0].words, asked[0].why, asked[1]))
        left -= asked[1]
    for proposal in search.proposals(dict.fromkeys(probed, 0.0)):
        predicted = search.predict(proposal)
        if predicted * _OPTIMISM > left - _RESERVE:
            continue
        found.append(Planned(proposal.words, proposal.why, predicted))
        left -= predicted
    return found


@dataclass
class Search:
    """An automatic search under way."""

    shared: dict[str, Any]
    folder: Path
    name: str
    progress: Progress
    candidates: list[Candidate]
    dataset: Dataset
    side: float
    until: float
    begun: float
    costs: Costs
    speeds: dict[Candidate, Speed] = field(default_factory=dict)
    sizes: dict[Candidate, int] = field(default_factory=dict)
    journal: Journal = field(init=False)

    @classmethod
    def of(
        cls,
        data: str | Path | None,
        time: str | float | None,
        quality: str,
        backbones: Sequence[str],
        settings: dict[str, Any],
        folder: Path,
        name: str | None,
        progress: Progress | None,
    ) -> Search:
        """Check what is asked, and look at the data."""
        begun, progress = clock.monotonic(), progress or for_python()
        given = seconds(time, quality)
        first = candidates(backbones, 1e9)[0]
        shared = collect_settings(first.backbone, data, None, settings, progress)
        dataset = load(shared, progress)
        for sentence in data_remarks(dataset):
            progress.say(sentence)
        seen = inspect(dataset.catalog, progress)
        side = float(np.median(seen.sizes.min(axis=1)))
        split = dataset.split
        return cls(
            shared={**settings, "data": shared.data},
            folder=folder,
            name=name or plain_name(f"auto-{Path(shared.data).stem}"),
            progress=progress,
            candidates=candidates(backbones, side),
            dataset=dataset,
            side=side,
            until=begun + given,
            begun=begun,
            costs=Costs(len(dataset.catalog), len(split.train), len(split.val)),
        )

    @property
    def left(self) -> float:
        """Seconds until the time is over."""
        return self.until - clock.monotonic()

    @property
    def images(self) -> int:
        """Number of images outside the test split."""
        return len(self.dataset.split.not_test)

    def resolved(self, proposal: Proposal) -> ResolvedPlan:
        """The settings of a run."""
        return resolve(collect_settings(None, None, None, self.settings(proposal), Progress()))

    def settings(self, proposal: Proposal) -> dict[str, Any]:
        """The settings to train a run with: what the user set above what is proposed."""
        sized = self.sizes.get(proposal.candidate)
        chosen = {"size": sized} if sized else {}
        return {**chosen, **proposal.candidate.settings, **proposal.settings, **self.shared}

    def predict(self, proposal: Proposal) -> float:
        """Seconds that a run will take."""
        return self.costs.predict(self.speeds[proposal.candidate], self.resolved(proposal))

    def proposals(
        self, losses: dict[Candidate, float], shared: Mapping[str, Any] = MappingProxyType({})
    ) -> Iterator[Proposal]:
        """See :func:`zoo.automatic.plan.proposals`."""
        sizes = {c: self.sizes.get(c) or self.speeds[c].size for c in losses}
        return proposals(losses, self.images, sizes, self.side, shared)

    def symmetric_probe(
        self, candidate: Candidate | None, left: float
    ) -> tuple[Proposal, float] | None:
        """The probe that tells whether images may be turned, and predicted seconds.

        None if there is no pretrained backbone, the user has decided it, or it takes too long.
        """
        decided = {"views", "flip"} & set(self.shared)
        if candidate is None or candidate.from_scratch or decided:
            return None
        proposal = symmetric_probe(candidate, self.images)
        predicted = self.predict(proposal)
        return (proposal, predicted) if predicted * _OPTIMISM <= _TEST_SHARE * left else None

    def affordable_probe(self, candidate: Candidate) -> tuple[Proposal, float] | None:
        """The first run of a backbone, as good as leaves time for more, and predicted seconds.

        None if it takes too long however small.
        """
        proposal = probe_of(candidate, self.images)
        resolved = self.resolved(proposal)
        if candidate not in self.speeds:
            self.speeds[candidate] = measure(resolved)
        share, last = (_SHARE / 2 if self.sizes else _SHARE), None
        for size, epochs in self._smaller(candidate, resolved):
            self.sizes[candidate] = size
            chosen = replace(proposal, settings={**proposal.settings, **epochs})
            try:
                predicted = self.predict(chosen)
            except BackboneError:  # too small for this network
                break
            if predicted * _OPTIMISM <= share * self.left:
                return chosen, predicted
            last = chosen, predicted
        # anything is better than nothing
        if len(self.sizes) == 1 and last and last[1] * _OPTIMISM <= self.left - _RESERVE:
            return last
        del self.sizes[candidate]
        return None

    def _smaller(
        self, candidate: Candidate, resolved: ResolvedPlan
    ) -> Iterator[tuple[int, dict[str, int]]]:
        """Sizes and epochs to try a backbone with, from the usual ones down."""
        if candidate.from_scratch:
            for epochs in (resolved.epochs, *(e for e in _FEWER if e < resolved.epochs)):
                yield resolved.size, {"epochs": epochs}
            return
        # small images hold nothing that a larger input would show
        enough = max(_TINY, 3 * self.side)
        for size in (resolved.size, *(s for s in _SMALLER if s < resolved.size)):
            if self.shared.get("size") or size <= enough or size == _SMALLER[-1]:
                yield size, {}


def _begin(
    data: str | Path | None,
    time: str | float | None,
    quality: str,
    backbones: Sequence[str],
    name: str | None,
    runs_dir: str | Path | None,
    progress: Progress | None,
    settings: dict[str, Any],
) -> Search:
    """The search, new or continued."""
    folder = paths.runs_dir(runs_dir)
    if name is not None:
        check_name(name)
    search = Search.of(data, time, quality, backbones, settings, folder, name, progress)
    if (folder / search.name).exists():
        raise ZooError(f"there is a run {search.name!r} in {folder} already: choose another --name")
    request = {
        "data": str(search.shared["data"]),
        "fingerprint": search.dataset.catalog.fingerprint(),
        "seconds": round(search.until - search.begun, 3),
        "backbones": list(backbones),
        "settings": {k: v for k, v in settings.items() if v is not None},
    }
    search.journal = open_journal(folder / "auto" / search.name, request)
    search.begun -= search.journal.spent
    search.until -= search.journal.spent
    if search.journal.steps:
        search.progress.say(
            f"continuing {search.name}: {len(search.journal.done)} runs are done, "
            f"{max(0.0, search.left):.0f} s are left"
        )
    return search


def _carry_out(search: Search, budget_ms: float | None) -> AutoResult:
    journal, interrupted = search.journal, False
    try:
        probes = _probe_all(search)
        losses = {candidate: loss_of(run) for candidate, run in probes.items()}
        _finetune(search, losses, _symmetries(search, probes, losses))
    except KeyboardInterrupt as error:
        if type(error) is not KeyboardInterrupt or not journal.done:  # SIGTERM ends at once
            error.add_note(f"continue with the same command (--name {search.name})")
            raise
        interrupted = True
        search.progress.say("stopped by Ctrl-C: combining what is done")
    runs = [open_run(step.run, search.folder) for step in journal.done]
    if not runs:
        reasons = "; ".join(f"{step.what}: {step.reason}" for step in journal.steps)
        raise ZooError(
            f"no network could be trained ({reasons})"
            if reasons
            else f"--time is too short: the fastest probe does not fit into "
            f"{search.until - search.begun:.0f} s; give more time, or a smaller --size"
        )
    journal.final = _final(search, runs, budget_ms).name
    journal.seconds = round(clock.monotonic() - search.begun, 3)
    journal.write()
    result = AutoResult.of(search.folder, journal, search.until - search.begun, interrupted)
    result.write_page()
    return result


def _probe_all(search: Search) -> dict[Candidate, Run]:
    """A probe of each backbone that the time allows."""
    probes = {}
    for candidate in search.candidates:
        affordable = search.affordable_probe(candidate)
        if affordable is None:
            search.progress.say(f"{candidate.backbone}: its probe would take too long, left out")
            continue
        proposal, predicted = affordable
        run = _train(search, proposal, predicted)
        if run is not None:
            probes[candidate] = run
    return probes


def loss_of(run: Run) -> float:
    """Log loss on out-of-fold predictions, or on validation where there are none."""
    found = run.metrics[selection_split([run])]["log_loss"]["value"]
    return float("inf") if found is None else float(found)


def _symmetries(
    search: Search, probes: dict[Candidate, Run], losses: dict[Candidate, float]
) -> dict[str, Any]:
    """Settings for images that know no up and down, if these turn out to be such.

    The best probe is fitted once more, on eight symmetries of each image. If a paired test on
    images that neither was fitted on finds it better, turning an image does not change its class.
    """
    best = min(losses, key=lambda candidate: losses[candidate], default=None)
    asked = search.symmetric_probe(best, search.left)
    turned = _train(search, *asked) if asked else None
    if best is None or turned is None:
        return {}
    split = selection_split([turned, probes[best]])
    found = compare(turned.predictions(split), probes[best].predictions(split))
    change = f"log loss {found.log_loss:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    if found.by_log_loss != "better":
        search.progress.say(f"turned and mirrored images are not better ({change})")
        return {}
    search.progress.say(f"turning and mirroring an image does not change its class ({change})")
    return dict(SYMMETRIES)


def _finetune(search: Search, losses: dict[Candidate, float], shared: dict[str, Any]) -> None:
    """Fine-tune what promises most, as long as the time allows."""
    if not losses:
        return
    for proposal in search.proposals(losses, shared):
        for option in (proposal, *cheaper(proposal)):
            predicted = search.predict(option)
            if predicted * _OPTIMISM <= search.left - _RESERVE:
                _train(search, option, predicted)
                break
        else:
            search.progress.say(f"left out, it does not fit the time: {proposal.words}")


def _train(search: Search, proposal: Proposal, predicted: float) -> Run | None:
    """Train a run, or take it where an earlier call trained it; None if it fails."""
    journal = search.journal
    known = next((step for step in journal.steps if step.key == proposal.key), None)
    if known is not None and known.state == "done":
        return open_run(known.run, search.folder)
    if known is not None and known.state == "failed":
        return None
    kind = kind_of(search.resolved(proposal))
    step = known or Step(
        run=f"{search.name}-{len(journal.steps) + 1}",
        key=proposal.key,
        what=proposal.words,
        why=proposal.why,
        kind=kind,
        predicted=round(predicted, 1),
        started=round(clock.monotonic() - search.begun, 1),
    )
    if known is None:
        journal.steps.append(step)
    begun = clock.monotonic()
    search.progress.say(
        f"{step.run}: {proposal.words} ({proposal.why}); about {predicted:.0f} s of "
        f"{max(0.0, search.left):.0f} s"
    )
    with _timed(search, step, begun), deadline(search.until - _RESERVE) as limit:
        run = finetune(
            name=step.run,
            runs_dir=search.folder,
            resume=step.run in unfinished(search.folder),
            progress=search.progress,
            **search.settings(proposal),
        )
        step.state, step.cut = "done", limit.reached
    if step.state != "done":
        return None
    if not step.cut and known is None:
        search.costs.observe(kind, predicted, step.seconds)
    return run


@contextmanager
def _timed(search: Search, step: Step, begun: float) -> Iterator[None]:
    """Write down how a step ends, whichever way; one that fails does not end the others."""
    journal = search.journal
    journal.write()
    try:
        yield
    except KeyboardInterrupt:
        step.state = "interrupted"
        raise
    except (ZooError, BackboneError, EnsembleError, MemoryError, RuntimeError) as error:
        step.state, step.reason = "failed", f"{error}"[:500]
        search.progress.say(f"{step.run} failed: {step.reason}")
    finally:
        step.seconds = round(clock.monotonic() - begun, 3)
        journal.spent = round(clock.monotonic() - search.begun, 3)
        journal.write()


def _final(search: Search, runs: list[Run], budget_ms: float | None) -> Run:
    """The ensemble of all runs, or the only one."""
    if len(runs) == 1:
        return runs[0]
    return ensemble(
        runs,
        budget_ms=budget_ms,
        name=search.name,
        runs_dir=search.folder,
        progress=search.progress,
    )

"""The folder of a case: a fresh copy of what was prepared, in the same place each time."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.torture.forked import Outcome, run

_TIMES = re.compile(r"\d[\d.,]* ?(ms|s|min|h|MB)\b")
_DATES = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00)?")


class Place:
    """A folder that is made anew for each case.

    Args:
        path: of the folder.
        prepared: by :func:`tests.torture.prepared.prepare`; what is copied.
    """

    def __init__(self, path: Path, prepared: Path) -> None:
        self.path, self._prepared = path, prepared
        self._usual: dict[tuple[str, ...], tuple[str, ...]] = {}

    def renew(self) -> None:
        """As it was prepared."""
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self._prepared, self.path, ignore=shutil.ignore_patterns("cache"))

    def usual(self, line: list[str]) -> tuple[str, ...]:
        """What a command says and writes where nothing is damaged; the folder is made anew."""
        key = tuple(line)
        if key not in self._usual:
            self.renew()
            outcome = run(line, self.path)
            assert outcome.status == 0, (line, outcome)
            self._usual[key] = self.seen(outcome)
        return self._usual[key]

    def new_on_page(self, line: list[str]) -> str:
        """Lines of the page that it has not where nothing is damaged."""
        page = self.path / "page.html"
        if not page.is_file():
            return ""
        usual = set("".join(self._usual[tuple(line)][1:]).splitlines())
        return "\n".join(x for x in page.read_text("utf-8").splitlines() if x not in usual)

    def seen(self, outcome: Outcome) -> tuple[str, ...]:
        """What people see of a command: its output, and the pages and figures that it wrote."""
        written = [self.path / "page.html", self.path / "runs/new/metrics.json"]
        texts = [p.read_text("utf-8", "replace") for p in written if p.is_file()]
        return tuple(_DATES.sub("DATE", _TIMES.sub("TIME", t)) for t in (outcome.out, *texts))

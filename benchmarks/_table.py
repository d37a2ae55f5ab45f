"""What the benchmark scripts share: a Markdown table that names the machine."""

from __future__ import annotations

import sys

from zoo.origin import machine, versions


def print_table(title: str, headers: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table that says how it was made."""
    print(f"\n### {title}\n")
    print(f"| {' | '.join(headers)} |")
    print(f"|{'|'.join(' --- ' for _ in headers)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    print(f"\n{machine()}; {packages}; `{' '.join(['python', *sys.argv])}`")

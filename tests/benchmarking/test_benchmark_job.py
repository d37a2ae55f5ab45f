"""Cells that are really trained: in processes of their own, killed, on a Dask cluster."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import backbones
import zoo
from tests.helpers.ready_cells import SMALL, TINY
from zoo.benchmarking.tables import markdown

EACH = {"cnn": SMALL}


def words(settings, each):
    """Settings as options of the command line."""
    shared = [f"{k}={v}" for k, v in settings.items()]
    own = [f"{owner}.{k}={v}" for owner, found in each.items() for k, v in found.items()]
    return [w for pair in [*shared, *own] for w in ("--set", pair)]


def test_only_what_is_missing_is_trained_and_its_cost_is_known(
    filled, digits_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    store, cells = filled(["cnn"], 1, each=EACH, leave="full")
    kept = {c.name: store.run(c.name) for c in cells}
    times = {n: (r.path / "run.json").stat().st_mtime_ns for n, r in kept.items() if r}
    table = zoo.benchmark(
        ["cnn"], digits_folder, seeds=1, each=EACH, runs_dir=tmp_path / "runs", jobs=2, **TINY
    )
    assert times == {n: (store.cells / n / "run.json").stat().st_mtime_ns for n in times}
    (trained,) = [r for r in table.rows if r.variant == "full"]
    (run,) = trained.runs.values()
    assert run.settings["l2"] == 1e-4
    network = backbones.build("cnn", size=16, weights="none", options=SMALL).model
    head = 3 * network.output_shape[1]
    assert trained.macs == backbones.macs(network) + head
    assert trained.parameters == network.count_params() + head + 3
    assert trained.size == (run.path / "model.keras").stat().st_size
    about = json.loads(store.about_file(run.name).read_text())
    assert about["at_a_time"] == 2
    assert "cores" in about["machine"]
    assert "2 training runs at a time" in markdown(table).replace("\n", " ")


def started(call, cache):
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", *map(str, call)],
        env={**os.environ, "ZOO_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(what, process, seconds=240):
    for _ in range(seconds * 20):
        if what():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("it took too long")


def workers_of(folder):
    """Processes that train below a folder, by their log files."""
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and str(folder) in str((place / "fd/2").readlink()):
                found.append(int(place.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_kill_9_costs_the_cells_in_flight(digits_folder, tmp_path, jobs):
    call = ["benchmark", "--data", digits_folder, "--backbones", "cnn,resnet20", "--seeds", "1"]
    call += [*words({**TINY, "epochs": 3}, EACH), "--runs-dir", tmp_path / "runs"]
    call += ["--jobs", str(jobs), "--methods", "soft"]
    cells = tmp_path / "runs" / "benchmarks" / "digits" / "cells"

    def finished():
        return [p for p in cells.glob("cnn-*") if (p / "run.json").is_file()]

    process = started(call, tmp_path / "cache")
    wait_until(lambda: len(finished()) >= 2 and list(cells.glob(".*/run.json")), process)
    process.kill()
    process.communicate()
    times = {p: (p / "run.json").stat().st_mtime_ns for p in finished()}
    again = started(call, tmp_path / "cache")
    out, said = again.communicate(timeout=400)
    assert again.returncode == 0, said
    assert re.search(r"[2-5] of 6 training runs already finished", said)
    assert times == {p: (p / "run.json").stat().st_mtime_ns for p in times}
    assert out.count("ensemble: soft") == 2
    assert not list(cells.glob(".*"))
    for _ in range(40):  # of a loky worker, what was left notices within 15 s
        if not workers_of(tmp_path):
            break
        time.sleep(1)
    assert not workers_of(tmp_path)


@pytest.mark.slow
def test_a_dask_worker_is_killed_midway_and_the_table_completes(
    digits_folder, tmp_path, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        pids = {w.pid for w in cluster.workers.values()}
        assert len(pids) == 2
        call = ["benchmark", "--data", digits_folder, "--backbones", "cnn", "--seeds", "2"]
        call += [*words({**TINY, "epochs": 3}, EACH), "--runs-dir", tmp_path / "runs"]
        call += ["--backend", "dask", "--address", cluster.scheduler_address]
        process = started(call, tmp_path / "cache")
        cells = tmp_path / "runs" / "benchmarks" / "digits" / "cells"
        wait_until(lambda: list(cells.glob(".*/run.json")), process)
        os.kill(pids.pop(), signal.SIGKILL)
        out, said = process.communicate(timeout=500)
    assert process.returncode == 0, said
    assert "failed" not in out
    table = json.loads((cells.parent / "table.json").read_text())
    assert [r["seeds"] for r in table["rows"]] == [[0, 1]] * 3
    assert all(r["metrics"]["accuracy"]["value"] > 0 for r in table["rows"])


@pytest.mark.slow
def test_pretrained_members_share_features_and_are_averaged_into_a_soup(digits_folder, tmp_path):
    table = zoo.benchmark(
        ["efficientnet"], digits_folder, seeds=1, runs_dir=tmp_path / "runs", **{**TINY, "size": 32}
    )
    labels = [r.label for r in table.rows]
    assert labels[-1] == "soup of efficientnet-lite0"
    assert len(labels) == 5
    soup, tuned = table.rows[-1], table.rows[-2]
    assert (soup.parameters, soup.macs) == (tuned.parameters, tuned.macs)
    (run,) = soup.runs.values()
    assert len(run.settings["members"]) == 3
    seconds = {r.variant: next(iter(r.runs.values())).record["seconds"] for r in table.rows[:-1]}
    assert seconds["probe"]["features"] > 3 * seconds["full"]["features"]


def test_weights_of_another_network_are_a_row_that_says_so(digits_folder, tmp_path, filled):
    file = tmp_path / "wrong.weights.h5"
    file.write_bytes(b"no weights")
    filled(["cnn"], 1, each=EACH)
    each = {**EACH, "mobilenet": {"weights": str(file), "size": 32}}
    # nothing new could be trained: that is an error, and the table is written all the same
    with pytest.raises(zoo.ZooError, match=r"all 4 new training runs failed .*table\.md has the"):
        zoo.benchmark(
            ["mobilenet", "cnn"],
            digits_folder,
            seeds=1,
            each=each,
            runs_dir=tmp_path / "runs",
            **TINY,
        )
    folder = tmp_path / "runs" / "benchmarks" / "digits"
    rows = json.loads((folder / "table.json").read_text())["rows"]
    lost = [row for row in rows if row["backbone"] == "mobilenet-v2"]
    assert len(lost) == 4
    for row in lost:
        assert not row["runs"]
        assert "wrong.weights.h5" in row["problems"]["0"]
    # the probe failed, and nothing else was tried
    assert len(list((folder / "logs").glob("mobilenet*"))) == 1
    assert len(re.findall(r"\| +failed \|", (folder / "table.md").read_text())) == 4


def test_two_commands_on_one_benchmark_are_told_so(filled, digits_folder, tmp_path):
    store, _ = filled(["cnn"], 1, each=EACH)
    call = {"seeds": 1, "each": EACH, "runs": tmp_path / "runs", **TINY}
    with store.locked(), pytest.raises(zoo.ZooError, match="made by another command"):
        zoo.benchmark(["cnn"], digits_folder, **call)
    assert zoo.benchmark(["cnn"], digits_folder, **call).best


def test_an_address_with_tls_asks_for_certificates(digits_folder, tmp_path):
    import dask
    import distributed  # noqa: F401 - sets the defaults

    call = {"backend": "dask", "address": "tls://127.0.0.1:9", "runs_dir": tmp_path / "runs"}
    with pytest.raises(zoo.ZooError, match="no certificates configured"):
        zoo.benchmark(["cnn"], digits_folder, seeds=1, **call)
    files = dict.fromkeys(("ca-file", "client.cert", "client.key"), "/no/such.pem")
    with (
        dask.config.set({f"distributed.comm.tls.{name}": file for name, file in files.items()}),
        pytest.raises(zoo.ZooError, match="no Dask scheduler at"),
    ):
        zoo.benchmark(["cnn"], digits_folder, seeds=1, **call)

"""A server answers what the run says, refuses the rest in a sentence, and stops in order."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from tests.helpers.server import Client, served
from zoo.errors import ZooError
from zoo.runs import Run
from zoo.serving.intake import Limits

SMALL = {"size": 16, "filters": 4, "blocks": 1, "epochs": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    folder = tmp_path_factory.mktemp("serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        patch.setenv("ZOO_RUNS", str(folder / "runs"))
        one = zoo.finetune("cnn", "digits", name="one", **SMALL)
        zoo.finetune("cnn", "digits", name="two", **{**SMALL, "size": 24, "resize": "pad"})
        both = zoo.ensemble("one", "two", method="soft", name="both")
        yield {"one": one, "both": both}


@pytest.fixture(scope="module")
def client(runs: dict[str, Run]) -> Iterator[Client]:
    with served(runs["one"]) as client:
        yield client


def picture(seed: int = 0, kind: str = "PNG", width: int = 40, height: int = 30) -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(out, kind)
    return out.getvalue()


def form(*files: tuple[str, str | None, bytes]) -> tuple[bytes, str]:
    """Body and content type of a form of (field, file name, content)."""
    line = "between-the-parts"
    parts = []
    for field, name, content in files:
        file = "" if name is None else f'; filename="{name}"'
        head = f'--{line}\r\nContent-Disposition: form-data; name="{field}"{file}\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + f"--{line}--\r\n".encode(), f"multipart/form-data; boundary={line}"


def as_json(*images: bytes) -> bytes:
    return json.dumps({"images": [base64.b64encode(one).decode() for one in images]}).encode()


@pytest.mark.parametrize("name", ["one", "both"])
def test_it_answers_what_the_run_predicts(name: str, runs: dict[str, Run]) -> None:
    files = [picture(seed, kind) for seed, kind in enumerate(["PNG", "JPEG", "WEBP"])]
    wanted = runs[name].predict(files)
    body, kind = form(*[("image", f"{i}.png", file) for i, file in enumerate(files)])
    with served(runs[name]) as client:
        answers = [
            [client.ask("/predict", one).json["images"][0] for one in files],
            client.ask("/predict", as_json(*files), "application/json").json["images"],
            client.ask("/predict", body, kind).json["images"],
        ]
    for found in answers:
        for one, row, label in zip(found, wanted.probabilities, wanted.labels, strict=True):
            np.testing.assert_allclose(list(one["probabilities"].values()), row, atol=1e-5)
            assert list(one["probabilities"]) == list(wanted.classes)
            assert one["top"][0]["class"] == label and len(one["top"]) == 3
    assert [one["image"] for one in answers[2]] == ["0.png", "1.png", "2.png"]


def test_kinds_of_bodies(client: Client) -> None:
    file = picture()
    wanted = client.ask("/predict", file).body
    curl = "application/x-www-form-urlencoded"  # what curl --data-binary says
    for kind in ("image/jpeg", "application/octet-stream", curl, None):
        assert client.ask("/predict", file, kind).body == wanted
    data = b"data:image/png;base64," + base64.b64encode(file)
    body = json.dumps({"images": [data.decode()]}).encode()
    assert client.ask("/predict", body, "application/json; charset=utf-8").body == wanted
    assert len(client.ask("/predict?top=1", file).json["images"][0]["top"]) == 1


def test_bad_files_among_good_ones_are_named(client: Client) -> None:
    body, kind = form(
        ("a", "x.png", picture()), ("b", "x.png", b"GIF89a"), ("c", "x.png", picture(1))
    )
    found = client.ask("/predict", body, kind)
    assert found.status == 200
    assert [one["image"] for one in found.json["images"]] == ["x.png", "x.png (3)"]
    assert [one["image"] for one in found.json["bad"]] == ["x.png (2)"]
    assert found.json["counts"] == {"predicted": 2, "left_out": 1, "hidden": 0}


def test_many_at_once_are_each_answered_rightly(client: Client, runs: dict[str, Run]) -> None:
    files = [picture(seed) for seed in range(60)]
    wanted = runs["one"].predict(files).probabilities
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda file: client.ask("/predict", file).json["images"][0], files))
    rows = [list(one["probabilities"].values()) for one in found]
    np.testing.assert_allclose(rows, wanted, atol=1e-5)
    lines = client.ask("/metrics").body.decode().splitlines()
    counts = {n: float(v) for n, _, v in (x.rpartition(" ") for x in lines if x[0] != "#")}
    assert counts["zoo_batch_images_count"] < counts["zoo_batch_images_sum"]  # some went together
    assert counts["zoo_images_waiting"] == 0


REFUSED = [
    (b"no image", "image/png", 422, "image 0 is no usable image: not an image"),
    (picture()[:200], "image/png", 422, "image 0 is no usable image: "),
    (b"", "image/png", 422, "the request holds no image: send an image as the body"),
    (b"<p>", "text/html", 415, "images cannot come as text/html: send"),
    (b"{", "application/json", 422, "the JSON cannot be read"),
    (b"[" * 100_000, "application/json", 422, "the JSON cannot be read"),
    (b"[]", "application/json", 422, 'JSON must be {"images": ["...", ...]}'),
    (b'{"images": "x"}', "application/json", 422, 'JSON must be {"images": ["...", ...]}'),
    (b'{"images": []}', "application/json", 422, "the request holds no image"),
    (b'{"images": [1]}', "application/json", 422, "image 0 is not a text in base64"),
    (b'{"images": ["%"]}', "application/json", 422, "image 0 is not in base64"),
    (b'{"images": ["\xc3\xa9"]}', "application/json", 422, "image 0 is not in base64"),
    (as_json(*[b"x"] * 65), "application/json", 413, "may hold 64 images, and this one has 65"),
    (b"--x", "multipart/form-data", 400, "the form cannot be read"),
    (b"--y\r\n", "multipart/form-data; boundary=x", 400, "the form cannot be read"),
    (*form(("image", None, b"photo.jpg")), 422, "'image' is text, not a file: with curl, -F"),
    (*form(*[("a", "x", b"y")] * 65), 413, "the form cannot be read (Too many files"),
    (bytes(33 << 20), "image/png", 413, "a request may have 32 MB, and this one has more"),
]


@pytest.mark.parametrize(("body", "kind", "status", "sentence"), REFUSED)
def test_what_is_refused(
    body: bytes, kind: str, status: int, sentence: str, client: Client
) -> None:
    found = client.ask("/predict", body, kind)
    assert (found.status, sentence in found.json["error"]) == (status, True), found.body
    assert client.ask("/health").json == {"status": "ok", "run": "one"}


def test_paths_methods_and_parameters(client: Client) -> None:
    assert client.ask("/nosuch").status == 404
    assert "POST images to /predict" in client.ask("/nosuch").json["error"]
    found = client.ask("/predict")
    assert (found.status, found.headers["allow"]) == (405, "POST")
    assert "top must be a whole number" in client.ask("/predict?top=0", picture()).json["error"]
    found = client.ask("/explain?class=cat", picture())
    assert found.status == 422 and "there is no class 'cat': there is 0, 1" in found.json["error"]
    assert (
        "explained at a time, not 2"
        in (client.ask("/explain", as_json(picture(), picture()), "application/json").json["error"])
    )
    described = client.ask("/openapi.json").json["paths"]
    assert set(described) == {"/predict", "/explain", "/model", "/health", "/metrics"}


def test_a_length_that_lies_is_not_believed(runs: dict[str, Run]) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(1 << 16)

    with served(runs["one"], limits=Limits(megabytes=1)) as client:
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
        with contextlib.closing(connection), contextlib.suppress(BrokenPipeError):
            connection.request("POST", "/predict", chunks(), {"Content-Type": "image/png"})
            assert connection.getresponse().status == 413
        assert client.ask("/predict", picture()).status == 200


def test_a_slow_upload_is_ended_and_holds_up_nobody(runs: dict[str, Run]) -> None:
    with served(runs["one"], limits=Limits(seconds=1)) as client:
        slow = socket.create_connection(("127.0.0.1", client.port))
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        slow.sendall(head + b"Content-Length: 1000\r\n\r\nabc")
        assert client.ask("/predict", picture()).status == 200
        assert b"408" in slow.recv(1000).splitlines()[0]
        slow.close()
        gone = socket.create_connection(("127.0.0.1", client.port))
        gone.sendall(head + b"Content-Length: 1000\r\n\r\nabc")
        gone.close()
        assert client.ask("/predict", picture()).status == 200


@pytest.mark.parametrize(
    "limits", [Limits(waiting=4), Limits(megabytes_waiting=0.003, megabytes=0.003)]
)
def test_more_than_can_wait_is_sent_away(limits: Limits, runs: dict[str, Run]) -> None:
    body, files = as_json(*[picture(width=8, height=8)] * 4), range(40)
    with served(runs["one"], limits=limits) as client, ThreadPoolExecutor(40) as pool:
        found = list(pool.map(lambda _: client.ask("/predict", body, "application/json"), files))
        assert {one.status for one in found} == {200, 429}
        late = next(one for one in found if one.status == 429)
        assert late.headers["retry-after"] == "1" and "try again" in late.json["error"]
        assert client.ask("/predict", body, "application/json").status == 200


def test_a_token_is_asked_for(runs: dict[str, Run]) -> None:
    with served(runs["one"], token="sesame") as client:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "sesame"}):
            found = client.ask("/predict", picture(), **headers)
            assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer")
            assert client.ask("/model", **headers).status == 401
        assert client.ask("/predict", picture(), Authorization="Bearer sesame").status == 200
        assert client.ask("/health").status == 200
        assert b"Token of this server" in client.ask("/").body


def test_other_names_are_not_answered(runs: dict[str, Run]) -> None:
    with served(runs["one"], hosts=("localhost", "[::1]")) as client:
        for host in ("localhost", "LOCALHOST:80", "[::1]:8000", "[::1]"):
            assert client.ask("/model", Host=host).status == 200
        for host in ("evil.org", "evil.org:8000", "localhost.evil.org", "", "[::2]"):
            found = client.ask("/model", Host=host)
            assert found.status == 400 and "answers only as localhost" in found.json["error"]


@pytest.mark.parametrize("name", ["one", "both"])
def test_what_speaks_for_a_class(name: str, runs: dict[str, Run]) -> None:
    with served(runs[name]) as client:
        found = client.ask("/explain?class=3", picture(width=60, height=30)).json
    kind, _, data = found["heat"].partition(",")
    heat = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, found["class"]) == ("data:image/png;base64", "3")
    assert heat.mode == "RGBA" and heat.width == 2 * heat.height
    assert 0 <= found["probability"] <= 1


def test_the_card_and_no_answer_tell_a_path(client: Client, runs: dict[str, Run]) -> None:
    card = client.ask("/model").json
    assert card["classes"] == runs["one"].classes
    assert card["metrics"]["test"]["accuracy"]["n"] > 100
    for path in ("/", "/model", "/metrics", "/openapi.json", "/health"):
        body = client.ask(path).body.decode()
        assert str(runs["one"].path.parent) not in body and str(Path.home()) not in body


def command(*words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", "serve", *words],
        cwd=Path(zoo.__file__).parents[1],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_answers_until_it_is_stopped(
    number: signal.Signals, runs: dict[str, Run]
) -> None:
    process = command(str(runs["one"].path), "--port", "0")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "answers at http://127.0.0.1:" in line
    client = Client(int(line.split(":")[-1].partition("/")[0]))
    assert client.ask("/predict", picture()).status == 200
    assert client.ask("/predict", picture(), Host="evil.org").status == 400
    late = socket.create_connection(("127.0.0.1", client.port))
    file = picture()
    late.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n")
    late.sendall(b"Content-Length: %d\r\n\r\n" % len(file) + file[:-1])
    time.sleep(0.5)
    process.send_signal(number)  # a request under way is answered
    time.sleep(0.5)
    late.sendall(file[-1:])
    assert b"200 OK" in late.recv(10_000)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out, error) == (0, "stopped\n", "")


def test_bad_addresses_are_told_at_once(runs: dict[str, Run]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ZooError, match=f"port {port} is in use: give another with --port"):
            zoo.serve(runs["one"], port=port)
    with pytest.raises(ZooError, match="set ZOO_SERVE_TOKEN to a long random text"):
        zoo.serve(runs["one"], host="0.0.0.0", port=0)
    with pytest.raises(ZooError, match="'no such host' is no address of this machine"):
        zoo.serve(runs["one"], host="no such host")
    with pytest.raises(ZooError, match=r"192\.0\.2\.1 is no address of this machine"):
        zoo.serve(runs["one"], host="192.0.2.1", port=0)
    with pytest.raises(ZooError, match="a port is a number from 0 to 65535, not 70000"):
        zoo.serve(runs["one"], port=70000)
    with pytest.raises(ZooError, match="allowed more than 0 MB, not -1"):
        zoo.serve(runs["one"], megabytes=-1)
    with pytest.raises(ZooError, match="there is no run 'nosuch'"):
        zoo.serve("nosuch")


def test_missing_packages_are_named(runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ZooError, match=r"serving needs starlette, .*\[serve\]"):
        zoo.serve(runs["one"])

"""How much of a network's rate reaches the clients of ``zoo serve``, and does it stay up?

    python benchmarks/serving.py RUN photos/              # 2 minutes
    python benchmarks/serving.py RUN photos/ --soak 600   # and ten minutes of mixed load

The clients are a process of their own with a thread each, on the same machine; they send the same
photos over and over and keep their connections. The baseline, in the same run, is `zoo.predict`
of the same files on disk. `plain` is what a first draft of a server looks like: a handler that
decodes one image and predicts it. Under mixed load, one request in four is broken, huge or slow,
and every answer to a good one is compared with that of the run.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from _table import print_table

import zoo

PLAIN = """
import io, sys, zoo, numpy as np, uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

run = zoo.load(sys.argv[1])
model, (size, _) = run.model, run.view

def answer(content):
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((size, size))
    return model.predict(np.asarray(image, np.float32)[None], verbose=0)[0].tolist()

async def predict(request):
    return JSONResponse(await run_in_threadpool(answer, await request.body()))

app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[2]), log_level="error")
"""


def client(port: int, files: list[bytes], until: float, times: list[float]) -> None:
    """Send files until the time is over; seconds of each answer go to ``times``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    while time.monotonic() < until:
        started = time.monotonic()
        connection.request("POST", "/predict", random.choice(files))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        times.append(time.monotonic() - started)


def clients(port: int, files: list[bytes], count: int, seconds: float, results: Any) -> None:
    """Several at a time; their times go into a queue."""
    times: list[float] = []
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=client, args=(port, files, until, times)) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(times)


def loaded(port: int, files: list[bytes], count: int, seconds: float) -> list[float]:
    """Seconds of each answer under the load of so many clients."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=clients, args=(port, files, count, seconds, results))
    process.start()
    found: list[float] = results.get()
    process.join()
    return found


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """A process that serves, from the time at which it answers.

    Args:
        words: of its command.
        port: where it listens.
    """

    def __init__(self, words: list[str], port: int) -> None:
        self.process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
        self.port = port

    def __enter__(self) -> Server:
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                assert self.process.poll() is None, "the server has ended"
                time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def ask(port: int, body: bytes, kind: str = "application/octet-stream") -> tuple[int, bytes]:
    """Status and body of one request, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/predict", body, {"Content-Type": kind})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def memory(process: int) -> float:
    """Resident megabytes of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    return float("nan")


def trouble(port: int, file: bytes, kind: int) -> int:
    """The status of a request that is no good; 0 if the client gives up."""
    if kind == 0:
        return ask(port, file[: len(file) // 2])[0]
    if kind == 1:
        return ask(port, os.urandom(20_000))[0]
    if kind == 2:
        return ask(port, bytes(40 << 20))[0]
    if kind == 3:
        return ask(port, b'{"images": [1', "application/json")[0]
    with socket.create_connection(("127.0.0.1", port)) as slow:
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(file)}\r\n\r\n"
        slow.sendall(head.encode() + file[:10])
        time.sleep(random.uniform(0, 40))  # sometimes longer than the server waits
    return 0


def soak(server: Server, files: list[bytes], wanted: np.ndarray, seconds: float) -> None:
    """Mixed load; prints how it was answered, and the memory by time."""
    until, counts, wrong = time.monotonic() + seconds, Counter[str](), []

    def worker(number: int) -> None:
        rng = random.Random(number)
        while time.monotonic() < until:
            index = rng.randrange(len(files))
            if rng.random() < 0.25:
                kind = rng.randrange(5)
                counts[f"bad: {trouble(server.port, files[index], kind)}"] += 1
                continue
            status, body = ask(server.port, files[index])
            counts[f"good: {status}"] += 1
            if status == 200:
                row = list(json.loads(body)["images"][0]["probabilities"].values())
                if np.abs(row - wanted[index]).max() > 1e-3:
                    wrong.append(index)

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append(memory(server.process.pid))
        time.sleep(seconds / 10)
    print(f"\nmixed load of 16 clients, {seconds:g} s: {dict(sorted(counts.items()))}")
    print(f"good requests answered wrongly: {len(wrong)}")
    print("resident MB by tenth of the time:", " ".join(f"{one:.0f}" for one in seen[:10]))


def row(name: str, count: int, times: list[float], seconds: float, bare: float) -> list[str]:
    """A line of the table."""
    rate = len(times) / seconds
    p50, p95, p99 = (f"{1000 * q:.0f}" for q in np.quantile(times, [0.5, 0.95, 0.99]))
    return [name, str(count), f"{rate:.1f}", f"{rate / bare:.2f}", p50, p95, p99]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--soak", type=float, default=0, help="seconds of mixed load")
    given = parser.parse_args()
    paths = sorted(path for path in given.photos.rglob("*") if path.is_file())[:256]
    files = [path.read_bytes() for path in paths]
    run = zoo.load(given.run)
    run.predict(files[:40])  # builds the graph
    rounds = []
    for _ in range(3):
        started = time.perf_counter()
        wanted = run.predict(files).probabilities
        rounds.append(len(files) / (time.perf_counter() - started))
    bare, rows = float(np.median(rounds)), []
    rows.append(["zoo.predict", "-", f"{bare:.1f}", "1", "-", "-", "-"])
    port = free_port()
    with Server(["-m", "zoo", "serve", str(run.path), "--port", str(port)], port) as server:
        loaded(port, files, 2, 3)  # the first connections wait until the run is loaded
        for count in (1, 8, 64):
            times = loaded(port, files, count, given.seconds)
            rows.append(row("zoo serve", count, times, given.seconds, bare))
        if given.soak:
            soak(server, files, wanted, given.soak)
    if not run.combination:
        port = free_port()
        with Server(["-c", PLAIN, str(run.path), str(port)], port):
            loaded(port, files, 2, 3)
            for count in (1, 8, 64):
                times = loaded(port, files, count, given.seconds)
                rows.append(row("plain handler", count, times, given.seconds, bare))
    heads = ["server", "clients", "images/s", "of zoo.predict", "p50 ms", "p95 ms", "p99 ms"]
    print_table(f"{run.name}, {len(files)} photos", heads, rows)


if __name__ == "__main__":
    main()

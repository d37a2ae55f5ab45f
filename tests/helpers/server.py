"""A run behind HTTP, in a thread of the test, and a client of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import uvicorn

from zoo.runs import Run
from zoo.serving.app import application


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client(NamedTuple):
    port: int

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        kind: str | None = "image/png",
        method: str = "",
        **headers: str,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            if body is not None and kind is not None:
                given["Content-Type"] = kind
            method = method or ("GET" if body is None else "POST")
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())


@contextlib.contextmanager
def served(run: Run, **options: Any) -> Iterator[Client]:
    config = uvicorn.Config(application(run, **options), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Client(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()

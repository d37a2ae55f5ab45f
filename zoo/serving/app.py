"""The HTTP application: routes, errors as one sentence of JSON, who may ask."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from zoo.errors import ZooError
from zoo.exporting.card import about_run
from zoo.runs import Run, open_run
from zoo.serving.intake import Body, Limits, Refused
from zoo.serving.openapi import description
from zoo.serving.page import page
from zoo.serving.service import Service
from zoo.serving.watch import CONTENT_TYPE

_OPEN = ("/", "/health")  # what is answered without the token
_TOP = 3
_log = logging.getLogger("zoo.serving")
Handler = Callable[[Request], Awaitable[Response]]


def application(
    run: Run | str | Path,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Sequence[str] = ("*",),
    runs_dir: str | Path | None = None,
) -> Starlette:
    """A run as an ASGI application, for servers of one's own; the run is loaded at once.

    Args:
        run: a run, its name or its path; a single network or an ensemble.
        limits: what is taken of requests.
        token: what requests must bring as ``Authorization: Bearer TOKEN``; nothing if None.
        hosts: names by which the server may be asked. On a machine without a token this keeps web
            pages from asking it in a user's browser.
        runs_dir: folder of the runs, for a name.

    Raises:
        ZooError, EnsembleError: no such run, or a file of it is missing or damaged.
    """
    opened = run if isinstance(run, Run) else open_run(run, runs_dir)
    service = Service(opened, limits or Limits())
    service.warm()
    api = _Api(service, needs_token=token is not None)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.get_running_loop().run_in_executor(None, service.close)

    return Starlette(
        routes=api.routes(),
        middleware=[Middleware(_Guard, hosts=tuple(hosts), token=token)],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, Exception: _failure},
    )


class _Guard:
    """Lets nobody in who asks by another name, or does not bring the token."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str], token: str | None) -> None:
        self._app, self._hosts = app, hosts
        self._wanted = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").rpartition("]")  # of IPv6, the port is behind the bracket
        name = (host[0] + host[1] or host[2].partition(":")[0]).lower()
        if "*" not in self._hosts and name not in self._hosts:
            return _error(400, f"this server answers only as {' or '.join(self._hosts)}")
        if self._wanted is not None and scope["path"] not in _OPEN:
            given = headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, self._wanted):
                sentence = "this server wants a token: send the header Authorization: Bearer TOKEN"
                return _error(401, sentence, headers={"WWW-Authenticate": "Bearer"})
        return None


class _Api:
    """What is answered at each path.

    Args:
        service: the run.
        needs_token: whether the page is to ask for one.
    """

    def __init__(self, service: Service, needs_token: bool) -> None:
        self._service, self._watch = service, service.watch
        self._about = about_run(service.run)
        self._page = page(service.run, needs_token)

    def routes(self) -> list[Route]:
        """Paths and what answers them."""
        return [
            Route("/", self._of_page),
            Route("/predict", self._watched(self._predict), methods=["POST"]),
            Route("/explain", self._watched(self._explain), methods=["POST"]),
            Route("/health", self._health),
            Route("/model", self._model),
            Route("/metrics", self._metrics),
            Route("/openapi.json", self._openapi),
        ]

    def _watched(self, handler: Handler) -> Handler:
        """Counts and times requests, and answers those that are refused."""

        async def watched(request: Request) -> Response:
            path, started = request.url.path, time.perf_counter()
            body = Body(request, self._service.intake.limits)
            try:
                answer = await handler(body.request)
            except Refused as error:
                if error.status != 408:
                    await body.drain()
                headers = {"Retry-After": "1"} if error.status == 429 else {}
                # what was not read would be taken for the next request
                headers["Connection"] = "close"
                answer = _error(error.status, str(error), error.details, headers)
            except ZooError as error:
                answer = _error(422, str(error))
            self._watch.requests.labels(path, str(answer.status_code)).inc()
            self._watch.seconds.labels(path).observe(time.perf_counter() - started)
            return answer

        return watched

    async def _of_page(self, request: Request) -> Response:
        return HTMLResponse(self._page)

    async def _predict(self, request: Request) -> Response:
        top = _top_of(request)
        async with self._service.intake.images(request) as uploads:
            return JSONResponse(await self._service.predict(uploads, top))

    async def _explain(self, request: Request) -> Response:
        async with self._service.intake.images(request) as uploads:
            if len(uploads) != 1:
                raise Refused(422, f"one image is explained at a time, not {len(uploads)}")
            wanted = request.query_params.get("class")
            return JSONResponse(await self._service.explain(uploads[0], wanted))

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "run": self._service.run.name})

    async def _model(self, request: Request) -> Response:
        return JSONResponse(self._about)

    async def _metrics(self, request: Request) -> Response:
        return Response(self._watch.text(), media_type=CONTENT_TYPE)

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(description(self._service.run.name, self._service.classes))


def _top_of(request: Request) -> int:
    """How many classes are asked for by ``?top=``."""
    given = request.query_params.get("top", str(_TOP))
    if not (given.isdecimal() and int(given) >= 1):
        raise Refused(422, f"top must be a whole number of 1 or more, not {given!r}")
    return int(given)


def _error(
    status: int,
    sentence: str,
    details: Any = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    return JSONResponse({"error": sentence, **(details or {})}, status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    sentence = {
        404: f"there is nothing at {path}: POST images to /predict; see /openapi.json",
        405: f"{request.method} is not answered at {path}: see /openapi.json",
    }.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    return _error(error.status_code, sentence, headers=headers)


async def _failure(request: Request, error: Exception) -> Response:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    return _error(500, "the server failed to answer: its log says why")

"""``zoo serve``: a run behind HTTP on this machine."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from zoo.errors import ZooError
from zoo.evaluate.predictor import views_of
from zoo.installation import install_hint
from zoo.keras_setup import import_keras
from zoo.runs import Run, open_run
from zoo.words import listed

TOKEN = "ZOO_SERVE_TOKEN"  # of the environment
_PACKAGES = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
}
_CONNECTIONS = 1000
_LAST_SECONDS = 10  # in which requests under way are answered when the server stops


def serve(
    run: Run | str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    megabytes: float = 32,
    runs_dir: str | Path | None = None,
    ready: Callable[[str], None] = print,
) -> None:
    """Answer requests about images until the process is told to stop.

    ``POST /predict`` takes one or many images, ``/`` is a page to drop photos on; the guide
    "Serve a run" has them all. Images that come in at the same time are predicted together.

    Args:
        run: a run, its name or its path; a single network or an ensemble.
        host: address to listen at. Any other than this machine's own needs a token in the
            environment variable ``ZOO_SERVE_TOKEN``, which every request must then bring.
        port: to listen at; 0 takes a free one.
        megabytes: that a request may have.
        runs_dir: folder of the runs, for a name.
        ready: is told the address once the first request can come.

    Raises:
        ZooError, EnsembleError: no such run, a damaged one, missing packages, an address that
            cannot be listened at, or one that others reach without a token.
    """
    opened = run if isinstance(run, Run) else open_run(run, runs_dir)
    opened = opened if opened.name else Run(opened.path.resolve())  # given as "."
    _check_packages()
    views_of(opened)  # missing files are told at once
    if not megabytes > 0:
        raise ZooError(f"a request must be allowed more than 0 MB, not {megabytes:g}")
    token = os.environ.get(TOKEN) or None
    with _listening(host, port) as listener:
        address, port = listener.getsockname()[:2]
        local = ipaddress.ip_address(address).is_loopback
        if not (local or token):
            raise ZooError(
                f"others reach this server at {host}, and it has no token: set {TOKEN} to a long "
                f"random text, or leave --host out"
            )
        _run(opened, listener, token, megabytes, local, lambda: ready(_url(host, port)))


def _run(
    run: Run,
    listener: socket.socket,
    token: str | None,
    megabytes: float,
    local: bool,
    ready: Callable[[], None],
) -> None:
    import_keras()
    import uvicorn

    from zoo.serving.app import application
    from zoo.serving.intake import Limits

    # without a token, a page of elsewhere must not reach it by a name that it points here
    hosts = ("localhost", "127.0.0.1", "[::1]") if local and token is None else ("*",)
    app = application(run, limits=Limits(megabytes=megabytes), token=token, hosts=hosts)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # not each malformed request
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_SECONDS,
        server_header=False,
    )
    with contextlib.suppress(KeyboardInterrupt):  # stopping it is how it ends
        Server(config).run([listener])


def _check_packages() -> None:
    missing = [name for module, name in _PACKAGES.items() if not importlib.util.find_spec(module)]
    if missing:
        raise ZooError(f"serving needs {listed(missing)}: {install_hint('serve')}")


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket at an address; connections wait in it until the run is loaded.

    Raises:
        ZooError: there is no such address, or it is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise ZooError(f"a port is a number from 0 to 65535, not {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ZooError(
            f"{host!r} is no address of this machine ({reason}): leave --host out, or give "
            f"0.0.0.0 for all of its addresses"
        ) from None
    with socket.socket(family, kind, protocol) as listener:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            raise ZooError(_why_not(error, host, port)) from None
        yield listener


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is in use: give another with --port ({port + 1}, or 0 for any that is "
            f"free), or stop what listens there"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is for the system's own services: give one above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: leave --host out, or give 0.0.0.0"
    return f"{host}, port {port} cannot be listened at: {error.strerror}"


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

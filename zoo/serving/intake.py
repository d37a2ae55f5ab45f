"""Images out of requests, within limits, or the sentence that says why not."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from zoo.words import counted

_MB = 1 << 20
_DRAINED = 8  # times the limit of a request
_HOW = (
    "send an image as the body (curl --data-binary @photo.jpg), as a form (curl -F "
    'image=@photo.jpg), or as JSON {"images": ["base64", ...]}'
)
# curl calls what it sends by --data-binary a form, unless told otherwise
_RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        megabytes: of one request.
        images: of one request.
        waiting: images that are taken in and not answered yet, of all requests together.
        megabytes_waiting: of all requests that are read or wait for their answer.
        seconds: in which a request must have arrived.
    """

    megabytes: float = 32
    images: int = 64
    waiting: int = 256
    megabytes_waiting: float = 512
    seconds: float = 30


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        sentence: what is wrong and what to do instead.
        details: what a program may want to know beside it.
    """

    def __init__(
        self, status: int, sentence: str, details: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        super().__init__(sentence)
        self.status, self.details = status, details


class Upload(NamedTuple):
    """An image of a request: its name there, and the content of the file."""

    name: str
    content: bytes


class Body:
    """The body of a request, which can be received to its end when it is refused.

    Many clients read no answer before all is sent, and would only see a broken connection.

    Args:
        request: not received yet.
        limits: what is taken.
    """

    def __init__(self, request: Request, limits: Limits) -> None:
        self._receive, self._limits = request.receive, limits
        self._ended = False
        self.request = Request(request.scope, self._received)

    async def drain(self) -> None:
        """Receive and forget the rest, as far as that is reasonable."""
        left = _DRAINED * self._limits.megabytes * _MB
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.seconds):
                while not self._ended and left > 0:
                    left -= len((await self._received()).get("body", b""))

    async def _received(self) -> Message:
        message = await self._receive()
        self._ended = not message.get("more_body", False)  # or the client has gone
        return message


class Intake:
    """Reads requests, never more of them at a time than the limits allow.

    Args:
        limits: what is taken.

    Attributes:
        waiting: images that are taken in and not answered yet.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.waiting = 0
        self._bytes = 0

    @contextlib.asynccontextmanager
    async def images(self, request: Request) -> AsyncIterator[list[Upload]]:
        """The images of a request, which count as waiting until the block ends.

        Raises:
            Refused: too large, too many, too slow, of a kind that is not taken, or too much waits.
        """
        most = int(self.limits.megabytes * _MB)
        length = _length(request)
        if length is not None and length > most:
            raise self._too_large()
        with self._room(most if length is None else length):
            found = await self._read(request, most)
            if not found:
                raise Refused(422, f"the request holds no image: {_HOW}")
            if len(found) > self.limits.images:
                raise Refused(
                    413,
                    f"a request may hold {counted(self.limits.images, 'image')}, and this one has "
                    f"{len(found)}: send several requests",
                )
            with self._place(len(found)):
                yield found

    async def _read(self, request: Request, most: int) -> list[Upload]:
        taken = Request(request.scope, self._bounded(request.receive, most))
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            async with asyncio.timeout(self.limits.seconds):
                if kind == "multipart/form-data":
                    return await self._of_form(taken)
                if kind == "application/json":
                    return _of_json(await taken.body())
                if kind in _RAW or kind.startswith("image/"):
                    body = await taken.body()
                    return [Upload("image 0", body)] if body else []
        except TimeoutError:
            raise Refused(
                408, f"the request did not arrive within {self.limits.seconds:g} s: send it again"
            ) from None
        except ClientDisconnect:
            raise Refused(400, "the request ended before all of it was sent") from None
        raise Refused(415, f"images cannot come as {kind}: {_HOW}")

    async def _of_form(self, request: Request) -> list[Upload]:
        most = self.limits.images
        try:
            async with request.form(max_files=most, max_fields=most) as form:
                found = []
                for field, part in form.multi_items():
                    if isinstance(part, str):
                        raise Refused(
                            422, f"{field!r} is text, not a file: with curl, -F {field}=@photo.jpg"
                        )
                    found.append(Upload(part.filename or field, await part.read()))
                return found
        except (MultiPartException, HTTPException) as error:
            reason = error.message if isinstance(error, MultiPartException) else error.detail
            status = 413 if reason.startswith("Too many") else 400
            raise Refused(status, f"the form cannot be read ({reason.rstrip('.')})") from None

    def _bounded(self, receive: Receive, most: int) -> Receive:
        """Receives no more than the limit, whatever the request says of its length."""
        got = 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > most:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> Refused:
        return Refused(
            413, f"a request may have {self.limits.megabytes:g} MB, and this one has more"
        )

    @contextlib.contextmanager
    def _room(self, count: int) -> Iterator[None]:
        if self._bytes and self._bytes + count > self.limits.megabytes_waiting * _MB:
            raise _busy()
        self._bytes += count
        try:
            yield
        finally:
            self._bytes -= count

    @contextlib.contextmanager
    def _place(self, count: int) -> Iterator[None]:
        if self.waiting and self.waiting + count > self.limits.waiting:
            raise _busy()
        self.waiting += count
        try:
            yield
        finally:
            self.waiting -= count


def _busy() -> Refused:
    return Refused(429, "too many images wait for an answer: try again in a second")


def _length(request: Request) -> int | None:
    """What a request says of its length."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isdecimal() else None


def _of_json(body: bytes) -> list[Upload]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(422, f"the JSON cannot be read ({error}): {_HOW}") from None
    if isinstance(found, dict) and isinstance(found.get("images"), list):
        return [Upload(f"image {i}", _of_base64(one, i)) for i, one in enumerate(found["images"])]
    raise Refused(422, 'JSON must be {"images": ["...", ...]}, each image a file in base64')


def _of_base64(text: Any, number: int) -> bytes:
    """The content of a file in base64, be it a data: address."""
    if not isinstance(text, str):
        raise Refused(422, f"image {number} is not a text in base64")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(422, f"image {number} is not in base64") from None

"""Devious Baton, as it is on the wire: what its URLs ask for, and what its messages say.

A message is a number of bytes of padding as a QUIC integer, that padding, and the baton: one byte. A stream carries one message in each
direction that it has. Source: draft-frindell-webtrans-devious-baton, version 0.
"""

import random
from dataclasses import dataclass
from enum import IntEnum
from typing import Self
from urllib.parse import parse_qs, urlencode

from pywebtransport.exceptions import StreamError
from pywebtransport.stream import WebTransportReceiveStream, WebTransportStream

__all__ = ["MAX_COUNT", "PATH", "MalformedError", "SessionCode", "StreamCode", "Terms", "decoded", "encoded", "receive"]

PATH = "/webtransport/devious-baton"
MAX_COUNT = 64
"""Batons that a game of ours may have at once: browsers take about a hundred streams at a time."""

_VERSION = 0
_CHUNK = 65536  # bytes of padding that are looked at together


class StreamCode(IntEnum):
    """Why a stream ends early."""

    IDC = 0x01
    """STOP_SENDING: the reader does not care."""
    WHATEVER = 0x02
    """RESET_STREAM that answers the peer's STOP_SENDING or RESET_STREAM."""
    I_LIED = 0x03
    """RESET_STREAM that nobody asked for."""


class SessionCode(IntEnum):
    """Why a session ends before its batons do."""

    DA_YAMN = 0x01
    """The peer permits too few streams."""
    BRUH = 0x02
    """The peer sent something that is not a message."""
    SUS = 0x03
    """The peer sent a baton that is not the one that was due."""
    BORED = 0x04
    """Nothing came for too long."""


class MalformedError(ValueError):
    """What the peer sent is not a message: too short, or too long."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client asks for in its URL."""

    count: int = 1
    """Batons that go to and fro, 1 to `MAX_COUNT`."""
    baton: int | None = None
    """With which value they begin, 1 to 255; None leaves it to the server."""

    @classmethod
    def parse(cls, query: str) -> Self:
        """The terms in the query of a URL, the defaults where it says nothing; parameters with other names do not count.

        Raises:
            ValueError: A parameter is not a number, is out of range, or comes twice.
        """
        parameters = parse_qs(query, keep_blank_values=True)
        version = _number(parameters, "version", _VERSION, _VERSION)
        count = _number(parameters, "count", 1, MAX_COUNT)
        baton = _number(parameters, "baton", 1, 255)
        assert version in (None, _VERSION)
        return cls(1 if count is None else count, baton)

    @property
    def query(self) -> str:
        """The query of a URL that asks for them."""
        chosen = {} if self.baton is None else {"baton": self.baton}
        return urlencode({"version": _VERSION, "count": self.count, **chosen})

    def first(self) -> int:
        """The value that the batons begin with: a random one if the client left it open."""
        return random.randint(1, 255) if self.baton is None else self.baton


def encoded(baton: int, padding: int = 0) -> bytes:
    """A message with so many bytes of padding."""
    size = next(size for size in (1, 2, 4, 8) if padding < 1 << (8 * size - 2))
    prefix = (size.bit_length() - 1) << (8 * size - 2)  # RFC 9000 §16
    return (prefix | padding).to_bytes(size) + bytes(padding) + bytes([baton])


def decoded(message: bytes) -> int:
    """The baton of a message that came as a datagram.

    Raises:
        MalformedError: It is not a message.
    """
    size = 1 << (message[0] >> 6) if message else 1
    if len(message) < size:
        raise MalformedError(f"a message of {len(message)} bytes is too short")
    padding = int.from_bytes(bytes([message[0] & 0x3F]) + message[1:size])
    if len(message) != size + padding + 1:
        raise MalformedError(f"a message of {len(message)} bytes does not have {padding} of padding")
    return message[-1]


async def receive(stream: WebTransportReceiveStream | WebTransportStream) -> int:
    """The baton of the message that comes on a stream; its padding is not kept, however much there is.

    Raises:
        MalformedError: What came until the FIN is not a message.
        StreamError: The peer reset the stream.
        SessionError: The session is over; the class says why.
    """
    try:
        first = (await stream.readexactly(1))[0]
        rest = await stream.readexactly((1 << (first >> 6)) - 1)
        padding = int.from_bytes(bytes([first & 0x3F]) + rest)
        while padding:
            padding -= len(await stream.readexactly(min(padding, _CHUNK)))
        baton = (await stream.readexactly(1))[0]
    except StreamError as error:
        if "partial" in error.details:  # the FIN came before
            raise MalformedError(f"the message on stream {stream.stream_id} is too short") from error
        raise
    if await stream.read(1):
        raise MalformedError(f"the message on stream {stream.stream_id} is too long")
    return baton


def _number(parameters: dict[str, list[str]], name: str, least: int, most: int) -> int | None:
    values = parameters.get(name)
    if values is None:
        return None
    if len(values) != 1 or not values[0].isascii() or not values[0].isdecimal() or not least <= int(values[0]) <= most:
        raise ValueError(f"{name} must be one whole number from {least} to {most}: {', '.join(values)}")
    return int(values[0])

"""Messages: objects over streams and datagrams, each with the number of its type in front."""

import asyncio
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from .constants import MIB, ErrorCodes
from .exceptions import SerializationError, SessionError, StreamError
from .exceptions import TimeoutError as FrameworkTimeoutError
from .serializer import Serializer
from .session import WebTransportSession
from .stream import WebTransportReceiveStream, WebTransportSendStream, WebTransportStream

__all__ = ["StructuredDatagramTransport", "StructuredStream"]

_STREAM_HEADER = struct.Struct(">HI")  # the type and the length, big-endian
_DATAGRAM_HEADER = struct.Struct(">H")  # the type


class StructuredStream:
    """Objects over a stream, in order: ``async for`` gives those that come until the peer finishes.

    In front of each goes the number of its type, 2 bytes, and its length, 4 bytes, big-endian. Several tasks may send, and several receive.

    Args:
        stream: What carries them: of this side's to send, of the peer's to receive, or both ways.
        serializer: What makes them bytes, and bytes them.
        registry: The types by their numbers, the same on both sides.
        max_message_size: Bytes that one may have, in either direction.
    Raises:
        ValueError: A number does not fit in 2 bytes, a type has two, or the size does not fit in 4.
    """

    def __init__(
        self,
        stream: WebTransportStream | WebTransportSendStream | WebTransportReceiveStream,
        serializer: Serializer,
        registry: Mapping[int, type],
        max_message_size: int = MIB,
    ) -> None:
        if not 0 <= max_message_size < 1 << 32:
            raise ValueError(f"max_message_size must be from 0 to {(1 << 32) - 1}: {max_message_size}")
        self._stream = stream
        self._messages = _Messages(serializer, registry)
        self._most = max_message_size
        self._sending, self._receiving = asyncio.Lock(), asyncio.Lock()
        self._header: tuple[int, int] | None = None  # of a message whose rest a cancelled call left
        self._broken: str | None = None

    @property
    def stream(self) -> WebTransportStream | WebTransportSendStream | WebTransportReceiveStream:
        """What carries them."""
        return self._stream

    async def send_obj(self, obj: Any) -> None:
        """Send an object, waiting while the peer holds it back. If that is cancelled or times out, the stream is reset.

        Raises:
            SerializationError: Its type has no number, it cannot be written, or it is too long; nothing is sent.
            StreamError: The stream only receives, the peer wants no more, or it was finished or reset.
            SessionError: The session is over; the class says why.
        """
        if isinstance(self._stream, WebTransportReceiveStream):
            raise StreamError(f"stream {self._stream.stream_id} only receives")
        number, data = self._messages.write(obj)
        if len(data) > self._most:
            raise SerializationError(f"{type(obj).__name__} of {len(data)} bytes is too long: {self._most} are allowed")
        async with self._sending:
            try:
                await self._stream.write(_STREAM_HEADER.pack(number, len(data)) + data)
            except (asyncio.CancelledError, FrameworkTimeoutError):  # a part may be on its way, and what came next would be its rest
                with suppress(StreamError, SessionError):
                    await self._stream.reset(ErrorCodes.APP_GENERIC_ERROR)
                raise

    async def receive_obj(self) -> Any:
        """Wait for the next object. A call that is cancelled or times out loses none.

        A message of an unknown type, or a malformed one, is passed over: the next call gets the next. One that is too long, or breaks off,
        is the last: every later call raises the same, and the peer learns that no more is wanted.

        Raises:
            SerializationError: That is what it is.
            StreamError: The peer has finished or reset the stream, or it only sends.
            SessionError: The session is over; the class says why.
        """
        if (received := await self._next()) is None:
            raise StreamError(f"the peer finished stream {self._stream.stream_id}: there are no more messages")
        return received[0]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if (received := await self._next()) is None:
            raise StopAsyncIteration
        return received[0]

    async def _next(self) -> tuple[Any] | None:
        """The next object; None if the peer has finished."""
        stream = self._stream
        if isinstance(stream, WebTransportSendStream):
            raise StreamError(f"stream {stream.stream_id} only sends")
        async with self._receiving:
            if self._broken is not None:
                raise SerializationError(self._broken)
            try:
                if self._header is None:
                    number, length = self._header = _STREAM_HEADER.unpack(await stream.readexactly(_STREAM_HEADER.size))
                else:
                    number, length = self._header
                if length > self._most:
                    self._broken = f"a message of {length} bytes is too long: {self._most} are allowed"
                    with suppress(StreamError):
                        await stream.stop_receiving(ErrorCodes.APP_INVALID_REQUEST)
                    raise SerializationError(self._broken)
                data = await stream.readexactly(length)
            except StreamError as error:
                partial = error.details.get("partial")
                if partial is None:  # reset, or stopped
                    raise
                if self._header is None and not partial:
                    return None
                self._broken = f"the peer finished stream {stream.stream_id} in the middle of a message"
                raise SerializationError(self._broken) from error
            self._header = None
        return (self._messages.read(number, data),)


class StructuredDatagramTransport:
    """Objects over a session's datagrams, which may get lost and overtake each other.

    In front of each goes the number of its type, 2 bytes, big-endian.

    Args:
        session: What carries them.
        serializer: What makes them bytes, and bytes them.
        registry: The types by their numbers, the same on both sides.
    Raises:
        ValueError: A number does not fit in 2 bytes, or a type has two.
    """

    def __init__(self, session: WebTransportSession, serializer: Serializer, registry: Mapping[int, type]) -> None:
        self._session = session
        self._messages = _Messages(serializer, registry)

    async def send_obj(self, obj: Any) -> None:
        """Send an object, waiting while too many datagrams wait already.

        Raises:
            SerializationError: Its type has no number, or it cannot be written.
            DatagramError: It is too long for a datagram, or the peer takes none.
            SessionError: The session is over; the class says why.
        """
        number, data = self._messages.write(obj)
        await self._session.datagrams.send(_DATAGRAM_HEADER.pack(number) + data)

    async def receive_obj(self) -> Any:
        """Wait for an object. A cancelled call loses none, and one that fails no other but that which was malformed.

        Raises:
            SerializationError: A datagram is malformed, or of an unknown type.
            SessionError: The session is over; the class says why.
        """
        data = await self._session.datagrams.receive()
        if len(data) < _DATAGRAM_HEADER.size:
            raise SerializationError(f"a datagram of {len(data)} bytes has no type")
        (number,) = _DATAGRAM_HEADER.unpack_from(data)
        return self._messages.read(number, data[_DATAGRAM_HEADER.size :])


class _Messages:
    """Objects of numbered types."""

    def __init__(self, serializer: Serializer, registry: Mapping[int, type]) -> None:
        for number in registry:
            if not 0 <= number < 1 << 16:
                raise ValueError(f"the number of a type must be from 0 to 65535: {number}")
        self._serializer = serializer
        self._types = dict(registry)
        self._numbers = {kind: number for number, kind in registry.items()}
        if len(self._numbers) < len(self._types):
            raise ValueError("a type has two numbers in the registry")

    def write(self, obj: Any) -> tuple[int, bytes]:
        number = self._numbers.get(type(obj))
        if number is None:
            raise SerializationError(f"{type(obj).__name__} has no number in the registry")
        return number, self._serializer.serialize(obj)

    def read(self, number: int, data: bytes) -> Any:
        kind = self._types.get(number)
        if kind is None:
            raise SerializationError(f"a message of {len(data)} bytes is of type {number}, which the registry does not have")
        return self._serializer.deserialize(data, kind)

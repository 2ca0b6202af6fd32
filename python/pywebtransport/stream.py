"""Streams: bytes that arrive once and in order, both ways or one. Source: WT §4.2 and §4.3; RFC 9000 §2."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

import web_transport

from ._halves import RecvHalf, SendHalf
from ._waiting import within
from .diagnostics import StreamDiagnostics
from .events import EventEmitter
from .exceptions import StreamError
from .types import Buffer, EventType, SessionProtocol, StreamDirection, StreamId, StreamState

__all__ = ["WebTransportBidirectionalStream", "WebTransportReceiveStream", "WebTransportSendStream", "WebTransportStream"]

ENDS = (EventType.STREAM_CLOSED, EventType.STREAM_RESET_RECEIVED, EventType.STOP_SENDING_RECEIVED)
"""The events that somebody must watch a stream for."""

_CHUNK = 256 * 1024  # bytes that iteration takes at once, if there are that many


class Surroundings(NamedTuple):
    """What a stream needs of its session."""

    session: SessionProtocol
    report: Callable[[EventType, dict[str, Any]], None]
    """Called with the events of the stream."""
    read_timeout: float | None = None
    write_timeout: float | None = None


class _Stream:
    """What all streams have in common."""

    direction: StreamDirection
    """Which ways it carries bytes, seen from this side."""

    def __init__(
        self, around: Surroundings, send: web_transport.SendStream | None, recv: web_transport.RecvStream | None, *, is_peer_initiated: bool
    ) -> None:
        self._around = around
        self._is_peer_initiated = is_peer_initiated
        self._halves: list[SendHalf | RecvHalf] = []
        if send is not None:
            self._send = SendHalf(send)
            self._halves.append(self._send)
        if recv is not None:
            self._recv = RecvHalf(recv)
            self._halves.append(self._recv)
        self._created_at = time.time()
        self._closed_at: float | None = None
        self._events: EventEmitter | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def stream_id(self) -> StreamId:
        """The stream's number on the wire (RFC 9000 §2.1)."""
        return self._halves[0].transport.stream_id

    @property
    def session(self) -> SessionProtocol:
        """The session that the stream belongs to."""
        return self._around.session

    @property
    def is_peer_initiated(self) -> bool:
        """Whether the peer opened it."""
        return self._is_peer_initiated

    @property
    def events(self) -> EventEmitter:
        """The stream's events: ``STREAM_CLOSED``, ``STREAM_RESET_RECEIVED`` and ``STOP_SENDING_RECEIVED``.

        Once somebody has listened, the stream is kept until it has ended, even if it is dropped.
        """
        if self._events is None:
            self._events = EventEmitter(lambda event_type, wanted: self.watch() if wanted and event_type in ENDS else None)
        return self._events

    @property
    def state(self) -> StreamState:
        """How much of the stream is left, now: what the peer did is seen without reading or writing."""
        ended = [end.state for half in self._halves if (end := half.end())]
        if not ended:
            return StreamState.OPEN
        if len(ended) < len(self._halves):
            return ended[0]
        return ended[0] if ended in ([StreamState.RESET_SENT], [StreamState.RESET_RECEIVED]) else StreamState.CLOSED

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be read or written, whoever ended it."""
        closed = all(half.end() for half in self._halves)
        if closed and self._closed_at is None:
            self._closed_at = time.time()
        return closed

    def diagnostics(self) -> StreamDiagnostics:
        """Figures of the stream, now; also after its end."""
        closed = self.is_closed
        ends = [end for half in self._halves if (end := half.end()) and end.reason]
        sent, unsent = self._counts(SendHalf)
        received, unread = self._counts(RecvHalf)
        return StreamDiagnostics(
            stream_id=self.stream_id,
            session_id=self.session.session_id,
            direction=self.direction,
            state=self.state,
            is_peer_initiated=self.is_peer_initiated,
            bytes_sent=sent,
            bytes_received=received,
            write_buffer_size=unsent,
            read_buffer_size=unread,
            created_at=self._created_at,
            closed_at=self._closed_at if closed else None,
            close_code=ends[0].code if ends else None,
            close_reason=ends[0].reason if ends else None,
        )

    def watch(self) -> None:
        """Tell the stream's events, from now until its end, to its own listeners and to its session's."""
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def close(self, error_code: int | None = None) -> None:
        """Be done with it: what was written is complete, and what was not read is not wanted. Closing again does nothing.

        That the stream has ended already, one way or another, raises nothing.

        Args:
            error_code: For the peer's application, 32 bits unsigned, if what was written is not complete.
        """
        for half in self._halves:
            if half.end() is None:
                with suppress(StreamError):  # it ended meanwhile, one way or another
                    if isinstance(half, RecvHalf):
                        half.stop(error_code or 0)
                    elif error_code is None:
                        await half.finish()
                    else:
                        half.reset(error_code)

    def _counts(self, kind: type[SendHalf | RecvHalf]) -> tuple[int, int]:
        return next((half.counts() for half in self._halves if isinstance(half, kind)), (0, 0))

    async def _watch(self) -> None:
        await asyncio.gather(*(half.watch(self._tell) for half in self._halves))
        self._tell(EventType.STREAM_CLOSED, {"state": self.state})
        if self._events is not None:
            self._events.end(StreamError(f"stream {self.stream_id} is closed"))

    def _tell(self, event_type: EventType, data: dict[str, Any]) -> None:
        data = {"stream_id": self.stream_id, "session_id": self.session.session_id, **data}
        if self._events is not None and self._events.wants(event_type):
            self._events.emit_nowait(event_type, data=data, source=self.stream_id)
        self._around.report(event_type, data)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close(None if exc_type is None else 0)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stream_id} of {self.session.path}>"


class _Reading(_Stream):
    """What can be done with a stream that carries bytes here."""

    @property
    def can_read(self) -> bool:
        """Whether there is, or may come, something to read."""
        return self._recv.end() is None

    async def read(self, max_bytes: int = -1) -> bytes:
        """Read what is there, as soon as there is something. A read that is cancelled or times out has taken no byte.

        Args:
            max_bytes: The most to return; negative: all until the end of the stream.
        Returns:
            1 to *max_bytes* bytes, or ``b""`` at the peer's FIN.
        Raises:
            StreamError: The peer reset the stream, with the ``error_code``, or this side wants no more of it.
            SessionError: The session is over; the class says why.
            TimeoutError: There was nothing within `ClientConfig.read_timeout`.
        """
        return await self._reading(self._recv.transport.read(max_bytes))

    async def read_all(self, max_bytes: int | None = None) -> bytes:
        """Read until the peer's FIN. If it comes to nothing, no byte is lost.

        Args:
            max_bytes: The most to take; None takes whatever the peer sends.
        Raises:
            StreamError: There are more, or the stream was reset or stopped.
            SessionError: The session is over; the class says why.
            TimeoutError: The end did not come within `ClientConfig.read_timeout`.
        """
        return await self._reading(self._recv.transport.read(-1, limit=max_bytes))

    async def readexactly(self, n: int) -> bytes:
        """Read *n* bytes. If it comes to nothing, no byte is lost but at the FIN.

        Raises:
            StreamError: The peer finished the stream before: ``details["partial"]`` is what there was. Or as for `read`.
            SessionError: The session is over; the class says why.
            TimeoutError: They were not there within `ClientConfig.read_timeout`.
        """
        return await self._reading(self._recv.transport.readexactly(n))

    async def readline(self, limit: int = 65536) -> bytes:
        """Read up to the next newline, and return it too; at the peer's FIN what is left, at last ``b""``.

        Raises:
            StreamError: The line is longer than *limit* bytes, and stays there for later reads. Or as for `read`.
            SessionError: The session is over; the class says why.
            TimeoutError: There was no line within `ClientConfig.read_timeout`.
        """
        return await self._reading(self._recv.transport.readline(limit=limit))

    async def readuntil(self, separator: bytes = b"\n", limit: int = 65536) -> bytes:
        """Read up to the first *separator*, and return it too. If it comes to nothing, no byte is lost but at the FIN.

        Raises:
            StreamError: There is none within *limit* bytes, which stay there for later reads; or the peer finished the stream
                before: ``details["partial"]`` is what there was. Or as for `read`.
            SessionError: The session is over; the class says why.
            TimeoutError: There was none within `ClientConfig.read_timeout`.
        """
        return await self._reading(self._recv.transport.readuntil(separator, limit=limit))

    async def stop_receiving(self, error_code: int = 0) -> None:
        """Want no more (STOP_SENDING): pending and later reads raise StreamError.

        Args:
            error_code: For the peer's application, 32 bits unsigned, else OverflowError.
        Raises:
            StreamError: It was stopped already.
        """
        self._recv.stop(error_code)

    def _reading(self, call: Coroutine[Any, Any, bytes]) -> Coroutine[Any, Any, bytes]:
        return within(self._around.read_timeout, "reading from a stream", call)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self.read(_CHUNK):
            return chunk
        raise StopAsyncIteration


class _Writing(_Stream):
    """What can be done with a stream that carries bytes to the peer."""

    @property
    def can_write(self) -> bool:
        """Whether something may be written: it is not finished, and neither side has abandoned it."""
        return self._send.end() is None

    async def write(self, data: Buffer, end_stream: bool = False) -> None:
        """Queue all of *data*, of whatever size, waiting while the peer holds it back.

        If it is cancelled or times out, the beginning of *data* may be queued: reset the stream, or the peer takes what
        comes next for the rest.

        Args:
            data: Any contiguous buffer; copied, so it may be reused.
            end_stream: Whether nothing follows (FIN).
        Raises:
            StreamError: The peer wants no more, with the ``error_code``; or this side has finished or reset the stream.
            SessionError: The session is over; the class says why.
            TimeoutError: The peer held it back for `ClientConfig.write_timeout`.
        """
        await within(self._around.write_timeout, "writing to a stream", self._send.transport.write(data))
        if end_stream:
            await self._send.finish()

    async def write_all(self, data: Buffer, end_stream: bool = True) -> None:
        """The same as `write`, but that nothing follows unless *end_stream* is false; it raises the same."""
        await self.write(data, end_stream)

    async def reset(self, error_code: int = 0) -> None:
        """Abandon what was written (RESET_STREAM): what has not arrived may never do so, and pending writes raise StreamError.

        Args:
            error_code: For the peer's application, 32 bits unsigned, else OverflowError.
        Raises:
            StreamError: It was reset already.
        """
        self._send.reset(error_code)


class WebTransportReceiveStream(_Reading):
    """A stream of the peer's that only brings bytes: leaving ``async with`` before its end tells the peer that no more is wanted.

    ``async for`` gives what is there, as soon as there is something, until the peer's FIN; it raises as `read` does.
    """

    direction = StreamDirection.RECEIVE_ONLY

    def __init__(self, around: Surroundings, recv: web_transport.RecvStream) -> None:
        super().__init__(around, None, recv, is_peer_initiated=True)


class WebTransportSendStream(_Writing):
    """A stream of ours that only takes bytes: a clean ``async with`` exit finishes it (FIN), an error resets it."""

    direction = StreamDirection.SEND_ONLY

    def __init__(self, around: Surroundings, send: web_transport.SendStream) -> None:
        super().__init__(around, send, None, is_peer_initiated=False)


class WebTransportStream(_Reading, _Writing):
    """A stream both ways: leaving ``async with`` closes it, an error resets it.

    ``async for`` gives what is there, as soon as there is something, until the peer's FIN; it raises as `read` does.
    """

    direction = StreamDirection.BIDIRECTIONAL


WebTransportBidirectionalStream: TypeAlias = WebTransportStream
"""The same by its long name."""

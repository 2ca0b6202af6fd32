"""The two halves of a stream, and how each of them ended."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import web_transport

from ._waiting import at_once
from .exceptions import translating
from .types import EventType, StreamState

Tell: TypeAlias = Callable[[EventType, dict[str, Any]], None]
"""What is called with the events of a half."""


class End(NamedTuple):
    """How a half ended; the reason is there if it was not by its FIN."""

    state: StreamState
    code: int | None = None
    reason: str | None = None


class SendHalf:
    """What goes to the peer."""

    def __init__(self, transport: web_transport.SendStream) -> None:
        self.transport = transport
        self._finished = False
        self._code: int | None = None  # of our reset

    async def finish(self) -> None:
        """Say that nothing follows; saying it again does nothing."""
        if not self._finished:
            with translating:
                await self.transport.finish()
            self._finished = True

    def reset(self, code: int) -> None:
        """Abandon it."""
        with translating:
            self.transport.reset(code)
        self._code = code

    def end(self) -> End | None:
        """How it ended, if it did: nothing more can be written."""
        try:
            closed = at_once(self.transport.wait_closed())
        except web_transport.StreamClosedLocally:
            return End(StreamState.RESET_SENT, self._code, "reset")
        except web_transport.WebTransportError:
            return End(StreamState.CLOSED, None, "session closed")
        if closed is not None and (closed[0] is not None or not self._finished):  # without a FIN nothing is acknowledged for good
            return End(StreamState.HALF_CLOSED_LOCAL, closed[0], "stopped by peer")
        return End(StreamState.HALF_CLOSED_LOCAL) if self._finished else None

    async def watch(self, tell: Tell) -> None:
        """Return when it has ended, and the peer knows; tell if the peer wants no more."""
        with suppress(web_transport.WebTransportError):
            code = await self.transport.wait_closed()
            if code is not None or not self._finished:
                tell(EventType.STOP_SENDING_RECEIVED, {"error_code": code})

    def counts(self) -> tuple[int, int]:
        """Bytes that were taken to send, and bytes that wait to be."""
        stats = self.transport.stats()
        return stats.bytes_sent, stats.bytes_written - stats.bytes_sent


class RecvHalf:
    """What comes from the peer."""

    def __init__(self, transport: web_transport.RecvStream) -> None:
        self.transport = transport
        self._code: int | None = None  # of our stop

    def stop(self, code: int) -> None:
        """Want no more."""
        with translating:
            self.transport.stop(code)
        self._code = code

    def end(self) -> End | None:
        """How it ended, if it did: nothing more can be read."""
        try:
            at_once(self.transport.read(0))
            closed = at_once(self.transport.wait_closed())
        except web_transport.StreamClosedByPeer as error:
            return End(StreamState.RESET_RECEIVED, error.code, "reset by peer")
        except web_transport.StreamClosedLocally:
            return End(StreamState.HALF_CLOSED_REMOTE, self._code, "stopped")
        except web_transport.WebTransportError:
            return End(StreamState.CLOSED, None, "session closed")
        return End(StreamState.HALF_CLOSED_REMOTE) if closed is not None and not self.counts()[1] else None

    async def watch(self, tell: Tell) -> None:
        """Return when the peer has ended it; tell if that was by a reset."""
        with suppress(web_transport.WebTransportError):
            code = await self.transport.wait_closed()
            if code is not None or (self.end() or End(StreamState.OPEN)).state is StreamState.RESET_RECEIVED:
                tell(EventType.STREAM_RESET_RECEIVED, {"error_code": code})

    def counts(self) -> tuple[int, int]:
        """Bytes that came, and bytes that wait to be read."""
        stats = self.transport.stats()
        return stats.bytes_received, stats.bytes_received - stats.bytes_read

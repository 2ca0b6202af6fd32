"""A session's datagrams: messages that may get lost, and overtake each other."""

import asyncio
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Self

import web_transport

from ._waiting import Bell, within
from .events import EventEmitter
from .exceptions import translated, translating
from .types import Buffer, EventType, SessionId

__all__ = ["WebTransportDatagrams"]


class WebTransportDatagrams:
    """The datagrams of `WebTransportSession.datagrams`; awaiting it gives itself, which code for older versions does.

    They wait in the transport's queue until somebody receives or listens. While there are listeners of ``DATAGRAM_RECEIVED``
    these get them all, and `receive` waits; one that waited before they came has its turn first. Source: WT §4.5; RFC 9221.
    """

    def __init__(
        self, transport: web_transport.Session, events: EventEmitter, session_id: SessionId, *, read_timeout: float | None = None
    ) -> None:
        self._transport = transport
        self._events = events
        self._session_id = session_id
        self._read_timeout = read_timeout
        self._listening: asyncio.Task[None] | None = None
        self._unheard = Bell()  # rings when nobody listens any more
        self._bytes_sent = self._bytes_received = 0

    async def send(self, data: Buffer) -> None:
        """Send a datagram, waiting while too many wait already. It may get lost on its way, and arrives whole or not at all.

        Args:
            data: Any contiguous buffer of at most `max_size` bytes; copied, so it may be reused.
        Raises:
            DatagramError: *data* is too long, or the peer takes no datagrams.
            SessionError: The session is over; the class says why.
        """
        try:
            sending = self._transport.send_datagram(data)
            self._bytes_sent += len(data) if type(data) is bytes else memoryview(data).nbytes
            await sending
        except web_transport.WebTransportError as error:  # `translating` would cost every datagram
            raise translated(error) from error

    async def receive(self) -> bytes:
        """Wait for a datagram, which may be empty. A call that is cancelled or times out loses none.

        Raises:
            SessionError: The session is over; the class says why.
            TimeoutError: There was none within `ClientConfig.read_timeout`.
        """
        if self._read_timeout is not None:
            return await within(self._read_timeout, "receiving a datagram", self._receive())
        try:
            return await self._receive()
        except web_transport.WebTransportError as error:
            raise translated(error) from error

    async def try_receive(self) -> bytes | None:
        """A datagram if one is there already, else None; SessionError if the session is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                with translating:
                    return await self._receive()
        return None

    @property
    def max_size(self) -> int:
        """The longest datagram that can be sent now, in bytes; it changes as the path does."""
        with translating:
            return self._transport.max_datagram_size

    @property
    def dropped_outgoing(self) -> int:
        """How many were dropped because too many waited to be sent, or for too long."""
        stats = self._transport.stats().datagrams
        return stats.dropped_outgoing + stats.expired_outgoing

    @property
    def dropped_incoming(self) -> int:
        """How many were dropped because too many waited to be received, or for too long."""
        stats = self._transport.stats().datagrams
        return stats.dropped_incoming + stats.expired_incoming

    @property
    def bytes_sent(self) -> int:
        """Bytes of those that were queued to be sent."""
        return self._bytes_sent

    @property
    def bytes_received(self) -> int:
        """Bytes of those that were received here."""
        return self._bytes_received

    def listen(self, wanted: bool) -> None:
        """Begin or cease to emit datagrams as events: the session calls this when listeners come and go."""
        if wanted:
            self._listening = asyncio.get_running_loop().create_task(self._emit())
        elif self._listening is not None:
            self._listening.cancel()
            self._listening = None
            self._unheard.ring()

    async def _emit(self) -> None:
        with suppress(web_transport.SessionError):  # the end of the session is an event of its own
            while self._events.listeners(EventType.DATAGRAM_RECEIVED):
                data = await self._transport.receive_datagram()
                self._bytes_received += len(data)
                event = {"data": data, "session_id": self._session_id}
                self._events.emit_nowait(EventType.DATAGRAM_RECEIVED, data=event, source=self._session_id)
                await self._events.room()  # what comes meanwhile waits in the transport, which bounds it

    async def _receive(self) -> bytes:
        while self._listening is not None:
            await self._unheard.wait()
        data = await self._transport.receive_datagram()
        self._bytes_received += len(data)
        return data

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield

"""Pools: sessions that are lent to one user after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from ._waiting import within
from .client import WebTransportClient
from .exceptions import ClientError
from .session import WebTransportSession
from .types import Headers, SessionState

__all__ = ["SessionPool"]


class SessionPool:
    """Lends sessions with a server, each to one user at a time: leaving ``async with`` closes them all.

    They are opened as they are needed, and those that came back last are lent first. One that is over, or that the server wants to
    end, is never lent: another one takes its place. Users are served in the order in which they came.

    Args:
        client: What connects; closing it is left to its maker.
        url: What to connect to, as for `WebTransportClient.connect`.
        max_size: How many sessions there may be at once.
        headers: Header fields of every request, over those of the client.
    Raises:
        ValueError: *max_size* is less than 1.
    """

    def __init__(self, client: WebTransportClient, url: str, max_size: int = 10, *, headers: Headers | None = None) -> None:
        if max_size < 1:
            raise ValueError(f"max_size must be at least 1: {max_size}")
        self._client = client
        self._url = url
        self._max_size = max_size
        self._headers = headers
        self._places = asyncio.Semaphore(max_size)  # one for each session that may still be lent
        self._idle: list[WebTransportSession] = []
        self._lent: set[WebTransportSession] = set()
        self._closed = False

    @property
    def max_size(self) -> int:
        """How many sessions there may be at once."""
        return self._max_size

    @property
    def idle(self) -> int:
        """How many wait to be lent; some of them may be over."""
        return len(self._idle)

    @property
    def lent(self) -> int:
        """How many are lent."""
        return len(self._lent)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def acquire(self, timeout: float | None = None) -> WebTransportSession:
        """Borrow a session that is open, and wait while all are lent; `release` gives it back. Cancelling is harmless.

        Args:
            timeout: Seconds for all of it; None: until there is one, or connecting fails.
        Raises:
            TimeoutError: There was none in time.
            ConnectionError: A new one could not be opened; a refusal is a `HandshakeError`.
            ClientError: The pool or its client is closed.
        """
        return await within(timeout, f"borrowing a session with {self._url}", self._acquire())

    async def release(self, session: WebTransportSession) -> None:
        """Give a session back, in whatever state it is. Streams that were left open on it stay so: close them before.

        Raises:
            ValueError: It is not lent.
        """
        if session not in self._lent:
            raise ValueError(f"{session!r} is not lent by this pool")
        self._lent.remove(session)
        try:
            if session.state is SessionState.CONNECTED and not self._closed:
                self._idle.append(session)
            else:
                await session.close()
        finally:
            self._places.release()

    @asynccontextmanager
    async def get(self, timeout: float | None = None) -> AsyncIterator[WebTransportSession]:
        """Borrow a session for an ``async with`` block; as `acquire`."""
        session = await self.acquire(timeout)
        try:
            yield session
        finally:
            await self.release(session)

    async def close(self) -> None:
        """Close all sessions, those that are lent too: whoever waits for one gets a ClientError. Closing again does nothing."""
        self._closed = True
        self._places.release()  # who waits is woken, and passes that on
        sessions = [*self._idle, *self._lent]
        self._idle.clear()
        await asyncio.gather(*(session.close() for session in sessions))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url} {'closed' if self._closed else 'open'}, idle: {self.idle}, lent: {self.lent}>"

    async def _acquire(self) -> WebTransportSession:
        await self._places.acquire()
        try:
            session = await self._open()
        except BaseException:
            self._places.release()
            raise
        self._lent.add(session)
        return session

    async def _open(self) -> WebTransportSession:
        """One of those that wait, or a new one."""
        while self._idle and not self._closed:
            session = self._idle.pop()
            if session.state is SessionState.CONNECTED:
                return session
            await session.close()  # the server wants it to end, or it is over already
        if not self._closed:
            session = await self._client.connect(self._url, headers=self._headers)
            if not self._closed:
                return session
            await session.close()
        raise ClientError(f"cannot borrow a session with {self._url}: the pool is closed")

"""Clients that come back: a session that is lost is replaced."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from ._arguments import check_seconds
from .client import WebTransportClient
from .events import EventEmitter
from .exceptions import ClientError, SessionClosedError, WebTransportError
from .exceptions import TimeoutError as FrameworkTimeoutError
from .session import WebTransportSession
from .types import EventType, Headers

__all__ = ["ReconnectingClient"]


class ReconnectingClient:
    """Keeps a session with a server: one that is lost is replaced at once. Leaving ``async with`` closes it.

    An attempt that fails is repeated after a pause: *retry_delay* at first, each time *retry_backoff* times as long, *max_retry_delay* at
    most, and shortened by a random part of up to half, so that the clients of a server do not return all at once. A session that was lost
    before it lasted *retry_delay* is followed by a pause too. After *max_retries*, or when the server refuses for good
    (`WebTransportError.is_retriable`), it gives up, and the next `get_session` begins anew. A session that this side closes is replaced
    when the next one is asked for.

    Args:
        url: What to connect to, as for `WebTransportClient.connect`.
        client: What connects; closing it is left to its maker.
        headers: Header fields of every request, over those of the client.
        max_retries: How often to try again after an attempt that failed; None: for ever.
        retry_delay: Seconds of the first pause.
        retry_backoff: How many times longer each pause is than the one before.
        max_retry_delay: Seconds of the longest pause.
        clock: What tells the time, in seconds.
        sleep: What waits for some seconds.
        chance: What makes random numbers from 0 to 1.
    """

    def __init__(
        self,
        url: str,
        client: WebTransportClient,
        *,
        headers: Headers | None = None,
        max_retries: int | None = 3,
        retry_delay: float = 1.0,
        retry_backoff: float = 2.0,
        max_retry_delay: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        check_seconds("retry_delay", retry_delay)
        check_seconds("max_retry_delay", max_retry_delay)
        if not retry_backoff >= 0:  # NaN is neither
            raise ValueError(f"retry_backoff must be a number from 0 on: {retry_backoff!r}")
        self._url = url
        self._client = client
        self._headers = headers
        self._max_retries = max_retries
        self._delay, self._factor, self._longest = retry_delay, retry_backoff, max_retry_delay
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._events = EventEmitter()
        self._session: WebTransportSession | None = None
        self._failure: WebTransportError | None = None  # of the last attempt
        self._keeping: asyncio.Task[None] | None = None
        self._news = asyncio.Event()  # there is a session, or there will be none
        self._wanted = asyncio.Event()  # somebody asks for one
        self._closed = False

    @property
    def url(self) -> str:
        """What it connects to."""
        return self._url

    @property
    def events(self) -> EventEmitter:
        """``CONNECTION_ESTABLISHED`` with the new ``session``, ``CONNECTION_LOST`` and, when it gives up, ``CONNECTION_FAILED``."""
        return self._events

    @property
    def is_connected(self) -> bool:
        """Whether there is a session now."""
        return self._session is not None and not self._session.is_closed

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def get_session(self, wait_timeout: float | None = 5.0) -> WebTransportSession:
        """The session, as soon as there is one. It may be lost at any time: then ask for the next.

        Args:
            wait_timeout: Seconds to wait for it at most; None: until it gives up.
        Raises:
            TimeoutError: There was none in time; attempts go on.
            ConnectionError: It has given up; this is why the last attempt failed. A refusal is a `HandshakeError`.
            ClientError: This or the client is closed.
            ValueError: The URL is not one to connect to, or a header field cannot be sent.
        """
        if wait_timeout is not None:
            check_seconds("wait_timeout", wait_timeout)
        self._keep_on()
        try:
            async with asyncio.timeout(wait_timeout) as limit:
                while self._session is None or self._session.is_closed:
                    self._wanted.set()
                    self._news.clear()
                    await self._news.wait()
                    if self._closed:
                        raise ClientError(f"cannot connect to {self._url}: the client is closed")
                    if self._keeping is not None and self._keeping.done():
                        self._keeping.result()  # raises
        except TimeoutError as error:
            if not limit.expired():  # the last attempt's
                raise
            why = f": {self._failure}" if self._failure is not None else ""
            raise FrameworkTimeoutError(f"no session with {self._url} within {wait_timeout:g} s{why}") from error
        return self._session

    async def close(self) -> None:
        """Close the session, and connect no more; closing again does nothing, and it never raises."""
        self._closed = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        self._news.set()
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        self._keep_on()
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self.is_connected else "not connected"
        return f"<{type(self).__name__} {self._url} {state}>"

    def _keep_on(self) -> None:
        if self._closed:
            raise ClientError(f"cannot connect to {self._url}: the client is closed")
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.get_running_loop().create_task(self._keep())
            self._keeping.add_done_callback(self._gave_up)

    async def _keep(self) -> None:
        """Have a session, until it cannot be had."""
        failed, pause = 0, self._delay
        while True:
            try:
                session = await self._client.connect(self._url, headers=self._headers)
            except WebTransportError as error:
                failed += 1
                self._failure = error
                if not error.is_retriable or (self._max_retries is not None and failed > self._max_retries):
                    self._tell(EventType.CONNECTION_FAILED, {"error": error, "attempts": failed})
                    raise
            else:
                since, failed, self._failure, self._session = self._clock(), 0, None, session
                self._wanted.clear()
                self._news.set()
                self._tell(EventType.CONNECTION_ESTABLISHED, {"session": session, "session_id": session.session_id})
                if not await self._lost(session):
                    await self._wanted.wait()
                    continue
                if self._clock() - since >= self._delay:
                    pause = self._delay
                    continue
            await self._sleep(pause * (1 - self._chance() / 2))
            pause = min(pause * self._factor, self._longest)

    async def _lost(self, session: WebTransportSession) -> bool:
        """Wait until a session is over, and say whether that was not this side's wish."""
        await session.wait_closed()
        error = session.close_error
        if isinstance(error, SessionClosedError) and error.source == "local":
            return False
        data = {"session_id": session.session_id, "close_code": session.close_code, "close_reason": session.close_reason, "error": error}
        self._tell(EventType.CONNECTION_LOST, data)
        return True

    def _gave_up(self, keeping: asyncio.Task[None]) -> None:
        if not keeping.cancelled():
            keeping.exception()  # seen: whoever waits raises it, or else the event has told it
        self._news.set()

    def _tell(self, event_type: EventType, data: dict[str, Any]) -> None:
        if self._events.wants(event_type):
            self._events.emit_nowait(event_type, data={"url": self._url, **data}, source=self._url)

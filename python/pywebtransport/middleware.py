"""Middleware: what looks at a session before it is accepted, and may reject it."""

import asyncio
import fnmatch
import inspect
import ipaddress
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from types import TracebackType
from typing import Protocol, Self

from ._arguments import check_callable
from .exceptions import ServerError
from .types import Address, Headers, SessionProtocol

__all__ = [
    "AuthHandler",
    "Middleware",
    "MiddlewareManager",
    "MiddlewareRejected",
    "RateLimiter",
    "create_auth_middleware",
    "create_cors_middleware",
    "create_logging_middleware",
    "create_rate_limit_middleware",
]

logger = logging.getLogger(__name__)


class Middleware(Protocol):
    """Looks at a session that was not answered yet.

    It returns to let the session pass, and raises `MiddlewareRejected` to reject it. One that is an asynchronous context manager too is
    entered when the application starts, and left when it has ended.
    """

    async def __call__(self, session: SessionProtocol) -> bool | None:
        """Look at a session, which is passed by its name; False rejects it too, with status 403."""


class AuthHandler(Protocol):
    """Says whether a client may have a session."""

    def __call__(self, headers: Headers) -> Awaitable[bool] | bool:
        """Look at the header fields of the request, which are passed by their name."""


class MiddlewareRejected(Exception):
    """Middleware raises it to reject a session.

    Args:
        status_code: The HTTP status of the answer, from 300 on.
        headers: Header fields of the answer.
    """

    def __init__(self, status_code: int = 403, headers: Headers | None = None) -> None:
        super().__init__(status_code, headers)  # args rebuild the error, so it pickles
        self.status_code = status_code
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return f"rejected with status {self.status_code}"


class MiddlewareManager:
    """Middleware in the order in which sessions pass it: leaving ``async with`` ends those that have something to end."""

    def __init__(self) -> None:
        self._middleware: list[Middleware] = []
        self._entered: AsyncExitStack | None = None

    def copy(self) -> "MiddlewareManager":
        """Another one with the same middleware, which nobody has entered."""
        manager = type(self)()
        manager._middleware = list(self._middleware)
        return manager

    def add_middleware(self, middleware: Middleware) -> None:
        """Have sessions pass this one too, last.

        Raises:
            ServerError: It is a context manager, and the application runs already, so that it would never be entered.
        """
        check_callable("middleware", middleware)
        if self._entered is not None and isinstance(middleware, AbstractAsyncContextManager):
            raise ServerError(f"{middleware!r} must be added before the application starts, which is to enter it")
        self._middleware.append(middleware)

    def remove_middleware(self, middleware: Middleware) -> bool:
        """Have sessions pass this one no more; False if they did not."""
        if middleware not in self._middleware:
            return False
        self._middleware.remove(middleware)
        return True

    def get_middleware_count(self) -> int:
        """How many sessions pass."""
        return len(self._middleware)

    async def process_request(self, session: SessionProtocol) -> None:
        """Have a session pass all, one after the other.

        Raises:
            MiddlewareRejected: One rejected it; one that failed did so with status 500, and its error is logged.
        """
        for middleware in list(self._middleware):
            try:
                passed = await middleware(session=session)
            except MiddlewareRejected:
                raise
            except Exception as error:
                logger.exception("middleware failed for a session of %s: %r", session.path, middleware)
                raise MiddlewareRejected(500) from error
            if passed is False:  # as middleware says it that is written for older versions
                raise MiddlewareRejected

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for middleware in self._middleware:
                if isinstance(middleware, AbstractAsyncContextManager):
                    await stack.enter_async_context(middleware)
            self._entered = stack.pop_all()
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        if (entered := self._entered) is not None:
            self._entered = None
            await entered.aclose()


def create_auth_middleware(auth_handler: AuthHandler, *, challenge: str = "Bearer") -> Middleware:
    """Reject clients that may not have a session, with status 401.

    Args:
        auth_handler: A function or a coroutine function that is called with ``headers=`` and says whether these will do.
        challenge: How to do better: the ``www-authenticate`` of the answer (RFC 9110 §11.6.1).
    """
    check_callable("auth_handler", auth_handler)

    async def authenticate(session: SessionProtocol) -> None:
        allowed = auth_handler(headers=session.headers)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            raise MiddlewareRejected(401, {"www-authenticate": challenge})

    return authenticate


def create_cors_middleware(allowed_origins: Iterable[str]) -> Middleware:
    """Reject pages of other origins, with status 403; a client that sends no origin is not a browser, and passes.

    `ServerConfig.allowed_origins` comes before it: give it ``["*"]`` where this is to decide.

    Args:
        allowed_origins: Origins as in ``"https://a.example"``, or patterns as in ``"https://*.a.example"`` and ``"*"`` (`fnmatch`).
    Raises:
        ValueError: *allowed_origins* is a string, of which every character would be an origin.
    """
    if isinstance(allowed_origins, str):
        raise ValueError(f"allowed_origins are several strings, not one: {allowed_origins!r}")
    patterns = [origin.lower() for origin in allowed_origins]

    async def check_origin(session: SessionProtocol) -> None:
        origin = session.headers.get("origin")
        if origin is not None and not any(fnmatch.fnmatchcase(origin.lower(), pattern) for pattern in patterns):
            raise MiddlewareRejected(403)

    return check_origin


def create_logging_middleware(log: logging.Logger = logger) -> Middleware:
    """Log who asks for a session of which path, at level INFO."""

    async def log_request(session: SessionProtocol) -> None:
        log.info("%s asks for a session of %s", session.remote_address[0], session.path)

    return log_request


class RateLimiter:
    """Middleware that rejects clients that ask for sessions too often, with status 429.

    A request counts for a window of time from when it came, and only if it passed. Addresses of IPv6 count as one if their first 64 bits
    are the same: that is what one customer of a provider has (RFC 6177 §2). Memory is bounded: of too many addresses, those are forgotten
    that asked least recently.

    Args:
        max_requests: How many may pass from an address within the window.
        window_seconds: How long that is, in seconds.
        cleanup_interval: How often addresses are forgotten whose requests count no more, in seconds; it happens inside ``async with``.
        max_tracked_ips: How many addresses to remember.
        clock: What tells the time, in seconds.
    """

    def __init__(
        self,
        *,
        max_requests: int = 100,
        window_seconds: float = 60,
        cleanup_interval: float = 300,
        max_tracked_ips: int = 10000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in {
            "max_requests": max_requests,
            "window_seconds": window_seconds,
            "cleanup_interval": cleanup_interval,
            "max_tracked_ips": max_tracked_ips,
        }.items():
            if not value > 0:  # NaN is neither
                raise ValueError(f"{name} must be more than 0: {value}")
        self._max_requests = max_requests
        self._window = window_seconds
        self._cleanup_interval = cleanup_interval
        self._max_tracked = max_tracked_ips
        self._clock = clock
        self._passed: OrderedDict[str, deque[float]] = OrderedDict()  # when, by source; the one that asked last comes last
        self._cleaning: asyncio.Task[None] | None = None

    @property
    def tracked_ips(self) -> int:
        """How many addresses it remembers now."""
        return len(self._passed)

    async def __call__(self, session: SessionProtocol) -> None:
        """Count a request, or reject it."""
        now = self._clock()
        source = _source(session.remote_address)
        times = self._passed.setdefault(source, deque())
        self._passed.move_to_end(source)
        while len(self._passed) > self._max_tracked:
            self._passed.popitem(last=False)
        while times and times[0] <= now - self._window:
            times.popleft()
        if len(times) >= self._max_requests:
            wait = math.ceil(times[0] + self._window - now)
            raise MiddlewareRejected(429, {"retry-after": str(wait)})  # RFC 6585 §4
        times.append(now)

    def cleanup(self) -> None:
        """Forget the addresses whose requests count no more."""
        oldest = self._clock() - self._window
        for source in [source for source, times in self._passed.items() if not times or times[-1] <= oldest]:
            del self._passed[source]

    async def __aenter__(self) -> Self:
        self._cleaning = asyncio.create_task(self._clean())
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        if self._cleaning is not None:
            self._cleaning.cancel()
            with suppress(asyncio.CancelledError):
                await self._cleaning
            self._cleaning = None

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(self._cleanup_interval)
            self.cleanup()


def create_rate_limit_middleware(
    max_requests: int = 100, window_seconds: float = 60, cleanup_interval: float = 300, max_tracked_ips: int = 10000
) -> RateLimiter:
    """The same as making a `RateLimiter`; times are in seconds."""
    return RateLimiter(
        max_requests=max_requests, window_seconds=window_seconds, cleanup_interval=cleanup_interval, max_tracked_ips=max_tracked_ips
    )


def _source(address: Address) -> str:
    """Whom an address belongs to."""
    ip = ipaddress.ip_address(address[0].partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:  # as a socket for both families has it
            return str(ip.ipv4_mapped)
        return str(ipaddress.IPv6Network((ip, 64), strict=False))
    return str(ip)

"""Plain HTTP/3 requests to a server: for those who open it in a browser, or ask for its health."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from logging import getLogger
from typing import Any, TypeAlias

from . import _web_transport as _native
from ._arguments import check_body
from ._bridge import Bridge, time_limit, tokens
from .headers import Headers, HeadersLike, encoded

_LOGGER = getLogger("web_transport")
_MAX_TASKS = 64  # handlers at once; as many requests again and more wait natively, within bounds
_TIMEOUT = 10.0  # seconds for a handler


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that is not for a session; its body, if it has one, is not read. Source: RFC 9114 §4.1."""

    method: str
    """``GET``, ``HEAD``, ``POST`` or another, but not ``CONNECT``."""
    authority: str
    """Host and port, as in the URL."""
    path: str
    """As in the URL, percent-encoded; ``*`` for some requests with OPTIONS."""
    query: str
    """What follows the path and its question mark."""
    headers: Headers
    """All fields."""
    remote_address: tuple[str, int]
    """The client's address and port."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer to an `HttpRequest`; ``content-length`` is added to it, and a HEAD gets no body. Source: RFC 9114 §4.1."""

    status: int = 200
    """200 to 999."""
    headers: HeadersLike = ()
    """A mapping, or pairs; best with a ``content-type``."""
    body: bytes = b""
    """Small: a client that has not taken it after ten seconds is not waited for."""


HttpHandler: TypeAlias = Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]


class HttpService:
    """Answers a server's plain requests, each in a task of its own, from `start` until the server is closed."""

    def __init__(self, native: _native.HttpRequests, handler: HttpHandler) -> None:
        self._native = native  # which does not keep the server open
        self._handler = handler
        self._token = tokens()
        self._bridge: Bridge | None = None
        self._tasks: set[Any] = set()
        self._parked = False

    def start(self, bridge: Bridge) -> None:
        """Begin, or go on in another event loop."""
        if bridge is not self._bridge:
            self._bridge = bridge
            self._tasks, self._parked = set(), False
            self._serve()

    def _serve(self) -> None:
        while self._bridge is not None and not self._parked and len(self._tasks) < _MAX_TASKS:
            if (request := self._native.next(self._token)) is not None:
                task = self._bridge.spawn(self._answer(request))
                self._tasks.add(task)
                task.add_done_callback(self._answered)
            elif self._native.closed:
                for task in self._tasks:
                    task.cancel()
                self._bridge = None
            else:
                self._parked = True
                self._bridge.call_when_woken(self._token, self._woken)

    def _woken(self) -> None:
        self._parked = False
        self._serve()

    def _answered(self, task: Any) -> None:
        self._tasks.discard(task)
        self._serve()

    async def _answer(self, native: _native.HttpRequest) -> None:
        path, _, query = native.path.partition("?")
        request = HttpRequest(native.method, native.authority, path, query, Headers(native.headers), native.remote_address)
        limit = time_limit(_TIMEOUT)
        try:
            async with limit:
                response = self._handler(request)
                if isinstance(response, Awaitable):
                    response = await response
            if not 200 <= response.status <= 999:
                raise ValueError(f"cannot answer with HTTP status {response.status}")
            check_body(response.body)
            native.answer(response.status, encoded(response.headers), response.body)
        except Exception:
            expired = limit.expired()
            _LOGGER.exception("http_handler %s for %s %s", "took too long" if expired else "failed", request.method, native.path)
            native.answer(503 if expired else 500, [], b"")

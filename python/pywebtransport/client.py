"""Clients: what connects to servers."""

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import web_transport

from . import _options
from ._arguments import check_seconds
from ._waiting import within
from .config import ClientConfig
from .connection import WebTransportConnection
from .diagnostics import ClientDiagnostics, ClientStats
from .events import Event, EventEmitter
from .exceptions import ClientError
from .manager import ConnectionManager
from .session import WebTransportSession
from .types import EventType, Headers

__all__ = ["WebTransportClient"]


class WebTransportClient:
    """Connects to servers, all through one UDP socket: leaving ``async with`` closes all its connections.

    A `web_transport.Client` does the work.

    Args:
        config: What it does; None: the defaults.
    Raises:
        ConfigurationError: A file that the configuration names cannot be used.
    """

    def __init__(self, config: ClientConfig | None = None) -> None:
        if not isinstance(config, ClientConfig | None):
            raise TypeError(f"config must be a ClientConfig, or None, not a {type(config).__name__}")
        self._config = config or ClientConfig()
        self._transport = _options.client(self._config)
        self._connections = ConnectionManager(self._config.max_connections)
        self._events = EventEmitter()
        self._headers: dict[str, str] = {}
        self.set_default_headers(self._config.headers)
        self._closed = False
        self._created_at = time.time()
        self._attempted = self._failed = 0
        self._times = _Times()

    @classmethod
    def create(cls, config: ClientConfig | None = None) -> Self:
        """The same as calling the class."""
        return cls(config)

    @property
    def config(self) -> ClientConfig:
        """What it does."""
        return self._config

    @property
    def events(self) -> EventEmitter:
        """The client's events: ``CONNECTION_ESTABLISHED``, ``CONNECTION_FAILED``, ``CONNECTION_LOST`` and ``CONNECTION_CLOSED``."""
        return self._events

    @property
    def connection_manager(self) -> ConnectionManager:
        """Its connections that are open."""
        return self._connections

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def set_default_headers(self, headers: Headers) -> None:
        """Send these header fields with every request from now on, in place of those of the configuration and of earlier calls."""
        agent = {} if self._config.user_agent is None else {"user-agent": self._config.user_agent}
        self._headers = agent | dict(web_transport.Headers(headers))

    async def connect(
        self,
        url: str,
        *,
        headers: Headers | None = None,
        wt_available_protocols: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> WebTransportSession:
        """Open a session, on a connection of its own, which closes with it. Cancelled, it is given up.

        Args:
            url: ``https://host[:port][/path][?query]``; the port is 443 by default.
            headers: More header fields for the request; one that is there by default is replaced.
            wt_available_protocols: Application protocols to offer, the best first; None: those of the configuration.
            timeout: Seconds for all of it; None: `ClientConfig.connect_timeout`.
        Raises:
            ValueError: *url* is not such a URL, a header field or a protocol cannot be sent, or *timeout* is negative.
            TypeError: *url* is not a str, or *wt_available_protocols* is one by itself.
            HandshakeError: The server refused, with a ``status_code`` and ``headers``.
            ConnectionError: There was no answer; the text says why: DNS, TLS, refusal.
            TimeoutError: There was no answer in time.
            ClientError: The client is closed.
        """
        if not isinstance(url, str):
            raise TypeError(f"url must be a str: {url!r}")
        if timeout is not None:
            check_seconds("timeout", timeout)
        if self._closed:
            raise ClientError(f"cannot connect to {url}: the client is closed")
        parts = urlsplit(url)
        path = parts._replace(scheme="", netloc="").geturl()
        connection = WebTransportConnection(self._config, self._connect, origin=url.removesuffix(path))
        await self._connections.add_connection(connection)
        self._attempted += 1
        began = time.monotonic()
        try:
            session = await connection.create_session(path, headers=headers, wt_available_protocols=wt_available_protocols, timeout=timeout)
        except BaseException as error:
            self._failed += 1
            self._events.emit_nowait(EventType.CONNECTION_FAILED, data={"url": url, "error": error}, source=connection.connection_id)
            raise
        self._times.add(time.monotonic() - began)
        data = {"url": url, "connection_id": connection.connection_id, "connection": connection}
        self._events.emit_nowait(EventType.CONNECTION_ESTABLISHED, data=data, source=connection.connection_id)
        connection.events.on_any(self._relay)
        return session

    async def close(self) -> None:
        """Close all sessions and connections, and wait until the peers know; closing again does nothing. It never raises."""
        self._closed = True
        try:
            await self._connections.shutdown()
        finally:
            self._transport.close()
        await self._transport.wait_closed()

    def diagnostics(self) -> ClientDiagnostics:
        """Figures of the client, now; also after its end."""
        stats = ClientStats(
            created_at=self._created_at,
            connections_attempted=self._attempted,
            connections_successful=self._times.count,
            connections_failed=self._failed,
            min_connect_time=self._times.least,
            avg_connect_time=self._times.total / self._times.count if self._times.count else None,
            max_connect_time=self._times.most,
        )
        return ClientDiagnostics(
            connection_states=dict(Counter(connection.state for connection in self._connections.connections)), stats=stats
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else 'open'}, connections: {len(self._connections)}>"

    async def _connect(
        self, url: str, headers: Headers, subprotocols: Sequence[str], seconds: float, *, shared: bool
    ) -> web_transport.Session:
        fields = self._headers | dict(web_transport.Headers(headers))
        connecting = self._transport.connect(url, headers=fields, subprotocols=subprotocols, pool=shared)
        return await within(seconds, f"connecting to {url}", connecting)

    def _relay(self, event: Event) -> None:
        """What happens to a connection is told here too."""
        if event.type in (EventType.CONNECTION_LOST, EventType.CONNECTION_CLOSED):
            self._events.emit_nowait(event.type, data=event.data, source=event.source)


class _Times:
    """How long something took, without keeping every figure."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least: float | None = None
        self.most: float | None = None

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        self.least = seconds if self.least is None else min(self.least, seconds)
        self.most = seconds if self.most is None else max(self.most, seconds)

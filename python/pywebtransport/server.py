"""Servers: what takes connections and sessions."""

import asyncio
import ipaddress
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias

import web_transport

from . import _options
from .config import ServerConfig
from .connection import WebTransportConnection
from .diagnostics import ServerDiagnostics, ServerStats
from .events import Event, EventEmitter
from .exceptions import ProtocolError, ServerError
from .manager import ConnectionManager, SessionManager
from .session import WebTransportSession
from .types import Address, EventType

__all__ = ["HttpHandler", "WebTransportServer"]

HttpHandler: TypeAlias = Callable[[web_transport.HttpRequest], web_transport.HttpResponse | Awaitable[web_transport.HttpResponse]]
"""Answers a plain HTTP/3 request."""


class WebTransportServer:
    """Takes connections: leaving ``async with`` closes it.

    A `web_transport.Server` does the work.

    Args:
        config: What it does, and its certificate.
        http_handler: Answers plain HTTP/3 requests, as `web_transport.Server` says; without it they get a 404.
    """

    def __init__(self, config: ServerConfig | None = None, *, http_handler: HttpHandler | None = None) -> None:
        if not isinstance(config, ServerConfig | None):
            raise TypeError(f"config must be a ServerConfig, or None, not a {type(config).__name__}")
        self._config = config or ServerConfig()
        self._http_handler = http_handler
        self._transport: web_transport.Server | None = None
        self._connections = ConnectionManager(self._config.max_connections)
        self._sessions = SessionManager(self._config.max_connections * self._config.max_sessions)
        self._by_number: dict[int, WebTransportConnection] = {}  # the transport's numbers
        self._events = EventEmitter(self._on_interest)
        self._asking: asyncio.Task[None] | None = None
        self._closed = False
        self._start_time: float | None = None
        self._accepted = self._rejected = self._errors = self._protocol_errors = 0

    @property
    def config(self) -> ServerConfig:
        """What it does."""
        return self._config

    @property
    def events(self) -> EventEmitter:
        """The server's events: ``CONNECTION_ESTABLISHED``, ``CONNECTION_LOST``, ``CONNECTION_CLOSED`` and ``SESSION_REQUEST``.

        While somebody listens to ``SESSION_REQUEST``, whose data has the ``session`` to accept or to reject, the listeners get all
        requests, and `incoming_connections` and `incoming_sessions` none.
        """
        return self._events

    @property
    def connection_manager(self) -> ConnectionManager:
        """Its connections that are open."""
        return self._connections

    @property
    def session_manager(self) -> SessionManager:
        """Its sessions that are open."""
        return self._sessions

    @property
    def is_serving(self) -> bool:
        """Whether it listens."""
        return self._transport is not None and not self._closed

    @property
    def local_addresses(self) -> list[Address]:
        """The addresses and ports that it listens on; none before `listen`."""
        return [] if self._transport is None else [self._transport.local_addr]

    async def listen(self, host: str | None = None, port: int | None = None) -> None:
        """Listen from now on: handshakes go on whether or not anybody asks for connections.

        Args:
            host: An address or a name; None: `ServerConfig.bind_host`.
            port: A UDP port, of which 0 takes a free one; None: `ServerConfig.bind_port`.
        Raises:
            ServerError: It listens already, is closed, or the address cannot be had.
            ConfigurationError: The certificate or its key cannot be used.
        """
        if self._transport is not None or self._closed:
            raise ServerError("the server is closed" if self._closed else f"the server listens already, on {self.local_addresses}")
        host = self._config.bind_host if host is None else host
        port = self._config.bind_port if port is None else port
        self._transport = _options.server(self._config, await _bind(host, port), self._http_handler)
        self._start_time = time.time()
        if self._events.listeners(EventType.SESSION_REQUEST):
            self._on_interest(EventType.SESSION_REQUEST, True)

    def use_certificate(self, certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str]) -> None:
        """Use another certificate than that of the configuration: before `listen` from the first, and later for new connections.

        Args:
            certfile: The PEM file of the certificate, and of those that lead to its root.
            keyfile: The PEM file of its key.
        Raises:
            ConfigurationError: It or its key cannot be used; if the server listens already, this is said now, and the old ones stay.
        """
        config = self._config.update(certfile=certfile, keyfile=keyfile)
        if self._transport is not None:
            _options.reload(self._transport, config)
        self._config = config

    def allow_origin(self, origin: str) -> None:
        """Let pages of one more origin ask for sessions; where the configuration names none, those of the own host may, as before.

        Raises:
            ServerError: The server listens already.
        """
        if self._transport is not None:
            raise ServerError("origins can be allowed before the server listens, not later")
        if (allowed := self._config.allowed_origins) is not None:
            self._config = self._config.update(allowed_origins=[*allowed, origin])

    async def serve_forever(self) -> None:
        """Wait until the server is closed; cancelled, it goes on serving.

        Raises:
            ServerError: It does not listen.
        """
        await self._serving().wait_closed()

    async def incoming_connections(self) -> AsyncIterator[WebTransportConnection]:
        """The connections of clients that ask for sessions, one after the other, until the server is closed.

        Raises:
            ServerError: It does not listen.
        """
        self._serving()
        while (asked := await self._next()) is not None:
            connection, session = asked
            connection.offer(session)
            if connection.sessions == [session]:  # else it has come already
                yield connection

    async def incoming_sessions(self) -> AsyncIterator[WebTransportSession]:
        """The sessions that clients ask for, on whatever connections, one after the other, until the server is closed.

        Each is to be answered, and comes out once: here, or where `incoming_connections` is iterated over.

        Raises:
            ServerError: It does not listen.
        """
        self._serving()
        while (asked := await self._next()) is not None:
            _, session = asked
            yield session

    async def close(self) -> None:
        """Take no more sessions, ask those that there are to end, give them `ServerConfig.close_timeout`, then close; idempotent.

        Cancelled, it closes at once. It never raises.
        """
        if self._transport is None or self._closed:
            self._closed = True
            return
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
        try:
            self._transport.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.close_timeout):
                    await asyncio.gather(*(connection.wait_closed() for connection in self._connections.connections))
            await self._connections.shutdown()
        finally:
            self._transport.close()
        await self._transport.wait_closed()

    def diagnostics(self) -> ServerDiagnostics:
        """Figures of the server, now; also after its end."""
        refused = 0 if self._transport is None else self._transport.stats().connections_refused
        return ServerDiagnostics(
            is_serving=self.is_serving,
            max_connections=self._config.max_connections,
            connection_states=dict(Counter(connection.state for connection in self._connections.connections)),
            session_states=dict(Counter(session.state for session in self._sessions.sessions)),
            stats=ServerStats(
                start_time=self._start_time,
                connections_accepted=self._accepted,
                connections_rejected=self._rejected + refused,
                connection_errors=self._errors,
                protocol_errors=self._protocol_errors,
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "not listening" if self._transport is None else "serving"
        return f"<{' '.join([type(self).__name__, *map(str, self.local_addresses), state])}>"

    def _serving(self) -> web_transport.Server:
        if self._transport is None:
            raise ServerError("the server does not listen yet")
        return self._transport

    async def _next(self) -> tuple[WebTransportConnection, WebTransportSession] | None:
        """The next session that somebody asks for, and its connection, which may have others; None once the server is closed."""
        while (request := await self._serving().accept()) is not None:
            connection = self._by_number.get(request.connection_id)
            if self._sessions.is_full or (connection is None and self._connections.is_full):
                self._rejected += 1
                with suppress(web_transport.SessionError):  # the client has gone, which is as good
                    await request.reject(503)
                continue
            if connection is None:
                connection = await self._take_up(request.connection_id)
            session = connection.receive(request)
            await self._sessions.add_session(session)
            if connection.sessions == [session]:
                self._tell(EventType.CONNECTION_ESTABLISHED, connection, {})
            return connection, session
        return None

    async def _take_up(self, number: int) -> WebTransportConnection:
        """Take care of a new connection."""
        connection = self._by_number[number] = WebTransportConnection(self._config)
        await self._connections.add_connection(connection)
        connection.events.on_any(partial(self._relay, number))
        self._accepted += 1
        return connection

    async def _ask(self) -> None:
        """Give requests to those who listen."""
        while self._events.listeners(EventType.SESSION_REQUEST) and (asked := await self._next()) is not None:
            connection, session = asked
            connection.offer(session)
            data = {"session": session, "session_id": session.session_id, "path": session.path, "headers": session.headers}
            self._tell(EventType.SESSION_REQUEST, connection, data)
            await self._events.room()

    def _on_interest(self, event_type: EventType | str, wanted: bool) -> None:
        if event_type == EventType.SESSION_REQUEST and self._transport is not None:
            if self._asking is not None:
                self._asking.cancel()
            self._asking = asyncio.get_running_loop().create_task(self._ask()) if wanted else None

    def _tell(self, event_type: EventType, connection: WebTransportConnection, data: dict[str, Any]) -> None:
        if self._events.wants(event_type):
            data |= {"connection": connection, "connection_id": connection.connection_id, "remote_address": connection.remote_address}
            self._events.emit_nowait(event_type, data=data, source=connection.connection_id)

    def _relay(self, number: int, event: Event) -> None:
        """What happens to a connection is told here too, and counted."""
        if event.type == EventType.CONNECTION_LOST:
            if isinstance(event.data["error"], ProtocolError):
                self._protocol_errors += 1
            else:
                self._errors += 1
        if event.type == EventType.CONNECTION_CLOSED:
            del self._by_number[number]
        if event.type in (EventType.CONNECTION_LOST, EventType.CONNECTION_CLOSED):
            self._events.emit_nowait(event.type, data=event.data, source=event.source)


async def _bind(host: str, port: int) -> str:
    """Address and port as literals."""
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise ServerError(f"cannot listen on {host!r}: {error.strerror or error}") from error
        address = str(found[0][4][0])
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

"""Connections: what carries sessions."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import web_transport

from ._arguments import check_code, check_seconds
from ._waiting import Bell
from .config import ClientConfig, ServerConfig
from .diagnostics import ConnectionDiagnostics
from .events import EventEmitter
from .exceptions import ConnectionError as FrameworkConnectionError
from .exceptions import SessionError
from .session import WebTransportSession
from .types import Address, ConnectionId, ConnectionState, EventType, Headers, SessionState

__all__ = ["WebTransportConnection"]


class Connect(Protocol):
    """How a client asks for a session."""

    async def __call__(
        self, url: str, headers: Headers, subprotocols: Sequence[str], seconds: float, *, shared: bool
    ) -> web_transport.Session:
        """Ask for one, on a connection that is shared if it may be."""


class WebTransportConnection:
    """What carries sessions to one peer: leaving ``async with`` closes it with all of them.

    Clients get connections with their sessions (`WebTransportSession.connection`), servers from
    `WebTransportServer.incoming_connections`. A connection is over when its last session is, and a client's already when the first is
    that was made on it. Source: RFC 9000 §5; WT §5, for those that carry several.
    """

    def __init__(self, config: ClientConfig | ServerConfig, connect: Connect | None = None, *, origin: str = "") -> None:
        self._config = config
        self._connect = connect  # servers have none
        self._origin = origin
        self._connection_id = str(uuid.uuid4())
        self._events = EventEmitter()
        self._sessions: dict[str, WebTransportSession] = {}
        self._first: WebTransportSession | None = None
        self._incoming: list[WebTransportSession] = []
        self._news = Bell()  # rings when there is one more of those, and at the end
        self._state = ConnectionState.IDLE
        self._remote_address: Address | None = None
        self._words: tuple[int | None, str | None] = (None, None)
        self._closing: asyncio.Task[None] | None = None  # kept, for a task that nobody keeps may vanish
        self._created_at = time.time()
        self._closed_at: float | None = None

    @property
    def connection_id(self) -> ConnectionId:
        """What tells it from other connections of this process; it is not on the wire."""
        return self._connection_id

    @property
    def events(self) -> EventEmitter:
        """The connection's events: ``CONNECTION_LOST`` and ``CONNECTION_CLOSED``; its server has ``SESSION_REQUEST``."""
        return self._events

    @property
    def is_client(self) -> bool:
        """Whether this side connected."""
        return self._connect is not None

    @property
    def state(self) -> ConnectionState:
        """Where it is in its life."""
        return self._state

    @property
    def is_closed(self) -> bool:
        """Whether it is over, or never came to be."""
        return self._closed_at is not None

    @property
    def remote_address(self) -> Address | None:
        """The peer's address and port; None before there was a session."""
        return self._first.remote_address if self._first is not None else None

    @property
    def sessions(self) -> list[WebTransportSession]:
        """Its sessions that are not over."""
        return list(self._sessions.values())

    def diagnostics(self) -> ConnectionDiagnostics:
        """Figures of the connection, now; also after its end."""
        return ConnectionDiagnostics(
            connection_id=self.connection_id,
            state=self.state,
            is_client=self.is_client,
            remote_address=self.remote_address,
            created_at=self._created_at,
            closed_at=self._closed_at,
            close_code=self._words[0],
            close_reason=self._words[1],
            session_states=dict(Counter(session.state for session in self.sessions)),
        )

    async def create_session(
        self,
        path: str = "/",
        *,
        headers: Headers | None = None,
        wt_available_protocols: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> WebTransportSession:
        """Ask the server for another session. Cancelled, it is given up.

        Sessions that are made like this share a QUIC connection where both sides permit that. They end with this connection.

        Args:
            path: What to ask for, with its query.
            headers: Header fields of the request, over those of the client.
            wt_available_protocols: Application protocols to offer, the best first; None: those of the configuration.
            timeout: Seconds for all of it; None: `ClientConfig.connect_timeout`.
        Raises:
            HandshakeError: The server refused, with a status.
            ConnectionError: There was no answer, the connection is closed, or it is a server's; the text says which.
            TimeoutError: There was no answer in time.
            ValueError: *timeout* is negative, or a header field or a protocol cannot be sent.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        if self._connect is None:
            raise FrameworkConnectionError("a server does not ask for sessions: its clients do")
        if self.is_closed or self._state is ConnectionState.CLOSING:
            raise FrameworkConnectionError("the connection is closed")
        assert isinstance(self._config, ClientConfig)
        offered = self._config.wt_available_protocols if wt_available_protocols is None else wt_available_protocols
        if self._state is ConnectionState.IDLE:
            self._state = ConnectionState.CONNECTING
        try:
            seconds = self._config.connect_timeout if timeout is None else timeout
            shared = self._first is not None  # the first closes its connection, so it has one for itself
            transport = await self._connect(self._origin + path, headers or {}, offered, seconds, shared=shared)
        except BaseException as error:
            if not self._sessions:
                self._finish(ConnectionState.FAILED, None, str(error) or type(error).__name__)
            raise
        return self._add(transport, offered)

    def receive(self, request: web_transport.SessionRequest) -> WebTransportSession:
        """A session that a client asks a server for, not answered yet."""
        return self._add(request, request.subprotocols)

    def offer(self, session: WebTransportSession) -> None:
        """Have `incoming_sessions` give it next; those that nobody took and that are over are forgotten."""
        self._incoming = [*(other for other in self._incoming if not other.is_closed), session]
        self._news.ring()

    async def incoming_sessions(self) -> AsyncIterator[WebTransportSession]:
        """The sessions that the client asks for, one after the other, until the connection is over; each is to be answered."""
        while True:
            while self._incoming:
                yield self._incoming.pop(0)
            if self.is_closed:
                return
            await self._news.wait()

    async def close(self, error_code: int = 0, reason: str | None = None) -> None:
        """Close its sessions, and wait until the peer knows; closing again does nothing.

        Requests that were not answered are rejected with 503, after which clients may try again.

        Args:
            error_code: For the peer's application, 32 bits unsigned, else OverflowError.
            reason: For people.
        """
        check_code(error_code)
        if not self.is_closed:
            self._state = ConnectionState.CLOSING
            await asyncio.gather(*(_ended(session, error_code, reason) for session in self.sessions))
            self._finish(ConnectionState.CLOSED, error_code, reason)

    async def close_gracefully(self, timeout: float | None = None) -> None:
        """Ask the peer to end the sessions, give it time to do so, then close.

        Args:
            timeout: Seconds to wait; None: the configuration's ``close_timeout``. That they run out raises nothing.
        """
        for session in self.sessions:
            session.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.close_timeout if timeout is None else timeout):
                await asyncio.gather(*(session.wait_closed() for session in self.sessions))
        await self.close()

    async def wait_closed(self) -> None:
        """Wait until the connection is over, whoever ended it. It never raises."""
        while not self.is_closed:
            await self._news.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.remote_address} {self.state}>"

    def _add(self, asked: web_transport.Session | web_transport.SessionRequest, offered: Sequence[str]) -> WebTransportSession:
        session = WebTransportSession(asked, self, self._config, wt_available_protocols=offered, on_closed=self._session_closed)
        self._sessions[session.session_id] = session
        self._first = self._first or session
        self._state = ConnectionState.CONNECTED
        return session

    def _session_closed(self, session: WebTransportSession) -> None:
        del self._sessions[session.session_id]
        if self.is_closed or self._state is ConnectionState.CLOSING:
            return
        code, reason = session.close_code, session.close_reason
        if not self._sessions:
            if (error := session.fault) is not None:
                self._tell(EventType.CONNECTION_LOST, {"close_code": code, "close_reason": reason, "error": error})
            self._finish(ConnectionState.CLOSED, code, reason)
        elif self.is_client and session is self._first:
            self._closing = asyncio.get_running_loop().create_task(self.close())

    def _finish(self, state: ConnectionState, code: int | None, reason: str | None) -> None:
        if not self.is_closed:
            self._state, self._words, self._closed_at = state, (code, reason), time.time()
            self._news.ring()
            self._tell(EventType.CONNECTION_CLOSED, {"close_code": code, "close_reason": reason})

    def _tell(self, event_type: EventType, data: dict[str, Any]) -> None:
        if self._events.wants(event_type):
            data = {"connection_id": self._connection_id, "remote_address": self.remote_address, **data}
            self._events.emit_nowait(event_type, data=data, source=self._connection_id)


async def _ended(session: WebTransportSession, code: int, reason: str | None) -> None:
    if session.state is SessionState.CONNECTING:
        with suppress(SessionError):  # the client has gone, which is as good
            await session.reject(503)
    await session.close(code, reason)

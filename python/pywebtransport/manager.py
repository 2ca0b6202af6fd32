"""Managers: what connections and sessions there are, and how many there may be."""

import asyncio
from collections import Counter
from typing import Any, Generic, Protocol, TypeVar

from .connection import WebTransportConnection
from .events import Event, EventEmitter
from .exceptions import ConnectionError as FrameworkConnectionError
from .exceptions import SessionError
from .session import WebTransportSession
from .types import ConnectionId, EventType, SessionId, SessionState

__all__ = ["ConnectionManager", "SessionManager"]

_MANY = 65536


class _Managed(Protocol):
    @property
    def events(self) -> EventEmitter: ...
    @property
    def state(self) -> str: ...
    @property
    def is_closed(self) -> bool: ...
    async def close(self, error_code: int = 0, reason: str | None = None) -> None: ...


_T = TypeVar("_T", bound=_Managed)


class _Manager(Generic[_T]):
    """Things by their ids; one that is closed goes by itself, at once."""

    def __init__(self, most: int, closed: EventType) -> None:
        self._most = most
        self._closed = closed
        self._things: dict[str, _T] = {}
        self._added = 0

    def __len__(self) -> int:
        return len(self._things)

    def __contains__(self, key: str) -> bool:
        return key in self._things

    async def get_stats(self) -> dict[str, Any]:
        """How many there are (``active``), there may be (``max``) and there were in all (``total``), and how many are in each state."""
        states = Counter(thing.state for thing in self._things.values())
        return {"active": len(self), "max": self._most, "total": self._added, "states": dict(states)}

    async def shutdown(self) -> None:
        """Close and forget all. It never raises."""
        things = list(self._things.values())
        self._things.clear()
        await asyncio.gather(*(thing.close() for thing in things))

    @property
    def is_full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self) >= self._most

    def _add(self, key: str, thing: _T) -> None:
        if not thing.is_closed:
            self._things[key] = thing
            self._added += 1
            thing.events.on(self._closed, self._forget)

    def _forget(self, event: Event) -> None:
        self._things.pop(event.source, None)


class ConnectionManager(_Manager[WebTransportConnection]):
    """The connections of a server or a client, while they are open.

    Args:
        max_connections: How many there may be at once.
    """

    def __init__(self, max_connections: int = _MANY) -> None:
        super().__init__(max_connections, EventType.CONNECTION_CLOSED)

    async def add_connection(self, connection: WebTransportConnection) -> ConnectionId:
        """Take care of a connection until it is closed.

        Raises:
            ConnectionError: There are as many as there may be.
        """
        if self.is_full:
            raise FrameworkConnectionError(f"there are {self._most} connections already, as many as there may be")
        self._add(connection.connection_id, connection)
        return connection.connection_id

    async def remove_connection(self, connection_id: ConnectionId) -> WebTransportConnection | None:
        """Forget a connection, and return it; None if there is no such."""
        return self._things.pop(connection_id, None)

    async def get_connection(self, connection_id: ConnectionId) -> WebTransportConnection | None:
        """The connection with an id; None if there is no such."""
        return self._things.get(connection_id)

    @property
    def connections(self) -> list[WebTransportConnection]:
        """All of them."""
        return list(self._things.values())


class SessionManager(_Manager[WebTransportSession]):
    """The sessions of a server or an application, while they are open.

    Args:
        max_sessions: How many there may be at once.
    """

    def __init__(self, max_sessions: int = _MANY) -> None:
        super().__init__(max_sessions, EventType.SESSION_CLOSED)

    async def add_session(self, session: WebTransportSession) -> SessionId:
        """Take care of a session until it is closed.

        Raises:
            SessionError: There are as many as there may be.
        """
        if self.is_full:
            raise SessionError(f"there are {self._most} sessions already, as many as there may be")
        self._add(session.session_id, session)
        return session.session_id

    async def remove_session(self, session_id: SessionId) -> WebTransportSession | None:
        """Forget a session, and return it; None if there is no such."""
        return self._things.pop(session_id, None)

    async def get_session(self, session_id: SessionId) -> WebTransportSession | None:
        """The session with an id; None if there is no such."""
        return self._things.get(session_id)

    async def get_sessions_by_state(self, state: SessionState) -> list[WebTransportSession]:
        """The sessions in a state."""
        return [session for session in self._things.values() if session.state == state]

    @property
    def sessions(self) -> list[WebTransportSession]:
        """All of them."""
        return list(self._things.values())

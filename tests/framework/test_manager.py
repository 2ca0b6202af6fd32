"""Managers: they know what is open, let go of what is not, and keep to their limits."""

import pytest
from pywebtransport import ConnectionError, ConnectionManager, SessionError, SessionManager, SessionState

from tests.framework.meeting import join


async def test_sessions_are_kept_until_they_close(ends):
    """A session is there by its id and its state while it is open, and goes by itself."""
    manager = SessionManager(max_sessions=2)
    key = await manager.add_session(ends.client)
    assert key == ends.client.session_id
    assert await manager.get_session(key) is ends.client
    assert await manager.get_sessions_by_state(SessionState.CONNECTED) == [ends.client] == manager.sessions
    assert await manager.get_sessions_by_state(SessionState.CLOSED) == []
    assert await manager.get_stats() == {"active": 1, "max": 2, "total": 1, "states": {"connected": 1}}
    await ends.client.close()
    assert len(manager) == 0
    assert await manager.get_session(key) is None
    await manager.add_session(ends.client)
    assert key not in manager, "it is closed already"


async def test_connections_are_kept_until_they_close(ends):
    """The same of connections."""
    manager = ConnectionManager(max_connections=2)
    key = await manager.add_connection(ends.client.connection)
    assert await manager.get_connection(key) is ends.client.connection
    assert manager.connections == [ends.client.connection]
    assert (await manager.get_stats())["states"] == {"connected": 1}
    await ends.client.close()
    assert len(manager) == 0


async def test_limits_hold(ends):
    """One more than there may be is refused; removing one makes room."""
    other = await join(ends.connector, ends.listener)
    sessions, connections = SessionManager(1), ConnectionManager(1)
    await sessions.add_session(ends.client)
    await connections.add_connection(ends.client.connection)
    assert sessions.is_full
    with pytest.raises(SessionError, match="there are 1 sessions already"):
        await sessions.add_session(other.client)
    with pytest.raises(ConnectionError, match="there are 1 connections already"):
        await connections.add_connection(other.client.connection)
    assert await sessions.remove_session(ends.client.session_id) is ends.client
    assert await sessions.remove_session(ends.client.session_id) is None
    assert await connections.remove_connection(ends.client.connection.connection_id) is ends.client.connection
    await sessions.add_session(other.client)
    await connections.add_connection(other.client.connection)


async def test_shutdown_closes_all(ends):
    """Nothing that a manager takes care of outlives it."""
    other = await join(ends.connector, ends.listener)
    manager = SessionManager()
    for session in (ends.client, other.client):
        await manager.add_session(session)
    await manager.shutdown()
    assert len(manager) == 0
    assert ends.client.is_closed
    assert other.client.is_closed

"""Fleets: several clients that act as one."""

import asyncio

import pytest
from pywebtransport import ClientError, ClientFleet, HandshakeError, MiddlewareRejected

from tests.framework.meeting import call, url_of


async def test_all_connect_and_take_turns(serve_echo, make_client):
    """A session for each client, in their order; clients that are closed have no turn."""
    app = await serve_echo()
    clients = [make_client() for _ in range(3)]
    async with ClientFleet(clients) as fleet:
        sessions = await fleet.connect_all(url_of(app.server))
        assert [session.connection in client.connection_manager.connections for session, client in zip(sessions, clients, strict=True)]
        assert await asyncio.gather(*(call(session) for session in sessions)) == [b"hello"] * 3
        assert (fleet.get_client_count(), fleet.clients) == (3, clients)
        assert [fleet.get_client() for _ in range(4)] == [*clients, clients[0]]
        await clients[1].close()
        assert [fleet.get_client() for _ in range(3)] == [clients[2], clients[0], clients[2]]
    assert all(client.is_closed for client in clients)
    assert all(session.is_closed for session in sessions)
    with pytest.raises(ClientError, match="all 3 clients of the fleet are closed"):
        fleet.get_client()
    await fleet.close_all()


async def test_one_that_fails_leaves_no_session(serve_echo, make_client):
    """All or none: those that were connected are closed again."""
    app = await serve_echo()

    @app.middleware
    async def refuse(session):
        if "x-refused" in session.headers:
            raise MiddlewareRejected(503)

    async with ClientFleet([make_client(), make_client(headers={"x-refused": "1"}), make_client()]) as fleet:
        with pytest.raises(HandshakeError) as refused:
            await fleet.connect_all(url_of(app.server))
        assert refused.value.status_code == 503
        assert [client.diagnostics().connection_states for client in fleet.clients] == [{}, {}, {}]
        fleet.clients[1].set_default_headers({})
        assert len(await fleet.connect_all(url_of(app.server), headers={"x-a": "b"}, timeout=5)) == 3


def test_a_fleet_has_a_client():
    """One at least."""
    with pytest.raises(ValueError, match="one client at least"):
        ClientFleet([])

"""Fleets: several clients that act as one."""

import asyncio

import pytest
from pywebtransport import ClientError, ClientFleet, EventType, HandshakeError, MiddlewareRejected

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


@pytest.fixture
async def halves(serve_echo, make_client):
    """A fleet whose second client gets its answer, which is a refusal, only when *rest* is done: the others are connected."""
    app = await serve_echo()
    clients = [make_client(), make_client(headers={"x-refused": "1"}), make_client()]
    rest = asyncio.gather(*(client.events.wait_for(EventType.CONNECTION_ESTABLISHED) for client in (clients[0], clients[2])))
    answer = asyncio.Event()

    @app.middleware
    async def refuse(session):
        if "x-refused" in session.headers:
            await answer.wait()
            raise MiddlewareRejected(503)

    async with ClientFleet(clients) as fleet:
        yield fleet, url_of(app.server), rest, answer


async def test_one_that_fails_leaves_no_session(halves):
    """All or none: those that were connected are closed again."""
    fleet, url, rest, answer = halves
    rest.add_done_callback(lambda _: answer.set())
    with pytest.raises(HandshakeError) as refused:
        await fleet.connect_all(url)
    assert refused.value.status_code == 503
    assert [client.diagnostics().connection_states for client in fleet.clients] == [{}, {}, {}]
    fleet.clients[1].set_default_headers({})
    assert len(await fleet.connect_all(url, headers={"x-a": "b"}, timeout=5)) == 3


async def test_cancelled_it_leaves_no_session(halves):
    """The same where somebody does not want to wait for the last."""
    fleet, url, rest, _ = halves
    connecting = asyncio.create_task(fleet.connect_all(url))
    await rest
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert [client.diagnostics().connection_states for client in fleet.clients] == [{}, {}, {}]


def test_a_fleet_has_a_client():
    """One at least."""
    with pytest.raises(ValueError, match="one client at least"):
        ClientFleet([])

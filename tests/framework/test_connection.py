"""Connections: several sessions on one, and an end for all of them."""

import asyncio

import pytest
import web_transport
from pywebtransport import ConnectionError, ConnectionState, EventType, HandshakeError, SessionState
from pywebtransport.testing import expecting

from tests.framework.meeting import requested, url_of


async def another(ends, path="/more", **options):
    """Another session on the client's connection: both ends."""
    connecting = asyncio.create_task(ends.client.connection.create_session(path, **options))
    session = await requested(ends.listener)
    await session.accept()
    return await connecting, session


async def test_a_connection_opens_more_sessions(ends):
    """They go to the same server, each with a path, header fields and offers of its own."""
    ours, theirs = await another(ends, "/chat?x=1", headers={"x-a": "b"}, wt_available_protocols=["p"])
    assert (theirs.path, theirs.query, theirs.headers["x-a"], theirs.wt_available_protocols) == ("/chat", "x=1", "b", ["p"])
    assert ours.connection is ends.client.connection
    assert ends.client.connection.sessions == [ends.client, ours]
    await (await ours.create_unidirectional_stream()).write_all(b"there")
    assert await (await theirs.accept_unidirectional_stream()).read_all() == b"there"
    figures = await ends.client.connection.diagnostics()
    assert figures.session_states == {SessionState.CONNECTED: 2}
    assert (figures.is_client, figures.state, figures.remote_address) == (True, ConnectionState.CONNECTED, ends.client.remote_address)
    await ours.close()
    assert ends.client.connection.sessions == [ends.client]
    assert not ends.client.is_closed


async def test_the_first_session_closes_the_connection(ends):
    """The connection is that of the session that connect gave: the others end with it."""
    ours, theirs = await another(ends)
    await ends.client.close()
    await ends.client.connection.wait_closed()
    await theirs.wait_closed()
    assert ours.is_closed
    with pytest.raises(ConnectionError, match="closed"):
        await ends.client.connection.create_session()


async def test_closing_a_connection_closes_its_sessions(ends):
    """Every session gets code and reason; closing again does nothing."""
    _, theirs = await another(ends)
    connection = ends.client.connection
    async with expecting(connection.events, EventType.CONNECTION_CLOSED) as closed:
        await connection.close(error_code=6, reason="all")
        await connection.close()
    for session in (ends.server, theirs):
        await session.wait_closed()
        assert (session.close_code, session.close_reason) == (6, "all")
    assert closed.data["close_code"] == 6
    figures = connection.diagnostics()
    assert (figures.state, figures.close_code, figures.close_reason) == (ConnectionState.CLOSED, 6, "all")
    assert figures.closed_at >= figures.created_at


async def test_closing_gracefully_asks_first(meet):
    """The peer is asked to end, and has until the time-out to do so."""
    ends = await meet(client={"close_timeout": 20})
    closing = asyncio.create_task(ends.client.connection.close_gracefully())
    await ends.server.events.wait_for(EventType.SESSION_DRAINING)
    await ends.server.close(9)
    await closing
    assert ends.client.close_code == 9
    ends = await meet()
    async with ends.client.connection as connection:
        await connection.close_gracefully(timeout=0.01)
    assert ends.client.close_code == 0


async def test_a_refused_session_harms_no_other(ends):
    """A connection goes on where one more session is rejected."""
    connecting = asyncio.create_task(ends.client.connection.create_session("/forbidden"))
    await (await requested(ends.listener)).reject(404)
    with pytest.raises(HandshakeError):
        await connecting
    assert ends.client.connection.state is ConnectionState.CONNECTED
    await (await ends.client.create_unidirectional_stream()).write_all(b"x")
    assert await (await ends.server.accept_unidirectional_stream()).read_all() == b"x"


async def test_a_server_asks_for_no_sessions(ends):
    """Its clients do."""
    assert not ends.server.connection.is_client
    with pytest.raises(ConnectionError, match="a server does not ask"):
        await ends.server.connection.create_session()


async def test_incoming_sessions_end_with_the_connection(ends):
    """Iteration has what was asked for, and ends, for everybody who iterates."""
    iterating = [asyncio.create_task(anext(aiter(ends.server.connection.incoming_sessions()), None)) for _ in range(2)]
    await ends.client.close()
    assert await asyncio.gather(*iterating) == [None, None]


async def test_sessions_that_nobody_took_are_not_kept(serve):
    """A connection may last for days, and who listens to requests need not iterate."""
    server, kept = await serve(), asyncio.Queue()

    async def answer(event):
        await event.data["session"].accept()
        await kept.put(event.data["session"])

    server.events.on(EventType.SESSION_REQUEST, answer)
    async with web_transport.Client(no_cert_verification=True) as client:
        sessions = [await client.connect(url_of(server, f"/{number}"), pool=True) for number in range(3)]
        theirs = [await kept.get() for _ in sessions]
        for number in (0, 2):
            sessions[number].close()
            await theirs[number].wait_closed()
        sessions.append(await client.connect(url_of(server, "/3"), pool=True))
        incoming = theirs[1].connection.incoming_sessions()
        assert [(await anext(incoming)).path for _ in range(2)] == ["/1", "/3"]


async def test_a_request_that_the_end_overtakes_may_be_repeated(serve, make_client):
    """RFC 9110 §15.6.4: a server that ends may come back, so that nobody is told to give up."""
    server, client = await serve(), make_client()
    connecting = asyncio.create_task(client.connect(url_of(server)))
    session = await requested(server)
    await server.close()
    with pytest.raises(HandshakeError) as caught:
        await connecting
    assert caught.value.status_code == 503
    assert caught.value.is_retriable
    assert session.is_closed


async def test_a_wrong_code_closes_nothing(ends):
    """The connection still takes sessions."""
    for code, error in ((-1, OverflowError), (2**32, OverflowError), ("1", TypeError), (None, TypeError)):
        with pytest.raises(error, match="code|integer"):
            await ends.client.connection.close(code)
    assert not ends.client.is_closed
    assert ends.client.connection.state is ConnectionState.CONNECTED

"""Sessions and servers that would like to end: who is told, what goes on, and how long a shutdown takes."""

import asyncio
import math

import pytest
from web_transport import ConnectError, SessionClosedByPeer, SessionClosedLocally


async def test_drain_is_heard_by_both_sides_and_ends_nothing(pair):
    """WT §4.7: the wish is for the application; streams and datagrams go on, old ones and new ones."""
    send, recv = await pair.uni()
    assert not pair.client.draining
    assert not pair.server.draining
    assert "False" in repr(pair.client.draining)
    pair.server.drain()
    assert pair.server.draining
    await pair.server.draining
    await pair.client.draining
    assert pair.client.draining
    await send.write(b"old")
    await send.finish()
    assert await recv.read() == b"old"
    send, recv = await pair.uni()
    await send.write(b"new")
    await send.finish()
    assert await recv.read() == b"new"
    await pair.client.send_datagram(b"and this")
    assert await pair.server.receive_datagram() == b"and this"
    assert pair.client.close_reason is None


async def test_drain_twice_is_drain_once(pair):
    """A session is asked once, whoever asks again, and each wait for it ends."""
    pair.client.drain()
    pair.client.drain()
    pair.server.drain()
    await asyncio.gather(*(session.draining for session in (pair.client, pair.server, pair.client, pair.server)))


async def test_waiting_for_draining_ends_with_the_session(pair, parked):
    """A session that was closed without having been asked to end raises its end."""
    waiting = await parked(_wait(pair.client))
    pair.server.close(7, "bye")
    with pytest.raises(SessionClosedByPeer) as error:
        await waiting
    assert error.value.code == 7
    with pytest.raises(SessionClosedLocally):
        await pair.server.draining
    pair.server.drain()  # does nothing, as close() does
    assert not pair.server.draining
    assert not pair.client.draining


async def test_draining_stays_true_after_the_end(pair):
    """What was asked for is not forgotten: a loop that ends for it sees it after the close too."""
    pair.server.drain()
    await pair.client.draining
    pair.client.close()
    await pair.client.draining
    assert pair.client.draining


async def test_a_cancelled_wait_for_draining_leaves_the_next_one(pair, parked):
    """Waiting takes nothing away."""
    waiting = await parked(_wait(pair.client))
    waiting.cancel()
    pair.server.drain()
    await pair.client.draining


async def _wait(session):
    await session.draining


async def test_a_draining_server_takes_no_more_sessions(pair, server, client, url):
    """Old sessions are told and go on; new ones are refused with a reason."""
    server.drain()
    server.drain()
    await pair.client.draining
    await pair.server.draining
    with pytest.raises(ConnectError, match="refused to accept a new connection"):
        await client.connect(url)
    send, recv = await pair.uni()
    await send.finish()
    assert await recv.read() == b""


async def test_a_request_from_before_the_drain_can_be_accepted(server, client, url):
    """It was received, and the peer was not told otherwise; its session is draining from the start."""
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    server.drain()
    accepted = await request.accept()
    session = await connecting
    await session.draining
    await accepted.draining


async def test_accept_goes_on_until_close_after_a_drain(server, parked):
    """A drain is no close: whoever iterates over the server's requests still does."""
    accepting = await parked(server.accept())
    server.drain()
    server.close()
    assert await accepting is None


async def test_shutdown_returns_with_the_last_session(make_server, client, connect):
    """The sessions close by themselves, with their own codes, and the server waits for just that."""
    server = make_server()
    pairs = [await connect(client, server) for _ in range(3)]
    shutdown = asyncio.create_task(server.shutdown(timeout=20, code=99, reason="too late"))
    for number, pair in enumerate(pairs):
        assert not shutdown.done()
        await pair.client.draining
        pair.client.close(number, "done")
    await shutdown
    assert [pair.server.close_reason.code for pair in pairs] == [0, 1, 2]
    assert await server.accept() is None


async def test_shutdown_closes_what_is_open_at_the_deadline(make_server, client, connect):
    """Who does not end in time is ended, with code and reason of the shutdown."""
    server = make_server()
    pair = await connect(client, server)
    await server.shutdown(timeout=0.05, code=99, reason="too late")
    with pytest.raises(SessionClosedByPeer) as error:
        await pair.client.receive_datagram()
    assert (error.value.source, error.value.code, error.value.reason) == ("application", 99, "too late")
    assert isinstance(pair.server.close_reason, SessionClosedLocally)


async def test_shutdown_of_an_idle_server_is_immediate(make_server):
    """Nobody to wait for; and again, once it is closed."""
    server = make_server()
    await server.shutdown(timeout=1000)
    await server.shutdown(timeout=1000)


async def test_shutdown_without_time_is_a_close(make_server, client, connect):
    """Zero seconds are a deadline too."""
    server = make_server()
    pair = await connect(client, server)
    await server.shutdown(timeout=0, code=3)
    await pair.client.wait_closed()
    assert pair.client.close_reason.code == 3


async def test_a_cancelled_shutdown_closes_at_once(make_server, client, connect, parked):
    """There is no half-way: the server that was to end has ended."""
    server = make_server()
    pair = await connect(client, server)
    shutdown = await parked(server.shutdown(timeout=1000, code=5))
    shutdown.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shutdown
    assert isinstance(pair.server.close_reason, SessionClosedLocally)
    await server.wait_closed()
    await pair.client.wait_closed()
    assert pair.client.close_reason.code == 5


async def test_close_ends_a_shutdown(make_server, client, connect, parked):
    """Two that end a server do not wait for each other."""
    server = make_server()
    await connect(client, server)
    shutdown = await parked(server.shutdown(timeout=1000))
    server.close()
    await shutdown


@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf])
async def test_shutdown_checks_its_arguments_first(server, client, connect, timeout):
    """A shutdown that cannot be carried out changes nothing."""
    with pytest.raises(ValueError, match="timeout"):
        await server.shutdown(timeout=timeout)
    with pytest.raises(ValueError, match="code"):
        await server.shutdown(timeout=1, code=1 << 62)
    assert not (await connect(client, server)).client.draining

"""Sessions that share a connection: what they share, what they do not, and when each needs its own (WT §5)."""

import asyncio

import pytest
from web_transport import ConnectError, SessionClosedByPeer, SessionRejected


@pytest.fixture
def share(make_server):
    """Sessions of a client with a server, by default one that takes a single connection: the client's ends and the server's."""

    async def share(client, count, server=None):
        server = server or make_server(max_connections=1)
        url = f"https://127.0.0.1:{server.local_addr[1]}/"
        async with asyncio.TaskGroup() as tasks:
            connecting = [tasks.create_task(client.connect(f"{url}{number}", pool=True)) for number in range(count)]
            accepted = {}
            while len(accepted) < count:
                request = await server.accept()
                if request.path != "/":  # that is somebody's who gave up
                    accepted[int(request.path[1:])] = await request.accept()
        return server, [task.result() for task in connecting], [accepted[number] for number in range(count)]

    return share


async def test_a_number_tells_who_shares(client, make_server, share, connect):
    """Sessions of one connection have one number, on both sides, and others have another, also later."""
    server, ours, theirs = await share(client, 3, make_server())
    other = await connect(client, server)
    for sessions, alone in ((ours, other.client), (theirs, other.server)):
        assert len({session.connection_id for session in sessions}) == 1
        assert alone.connection_id != sessions[0].connection_id
    before = other.server.connection_id
    other.client.close()
    await other.client.wait_closed()
    assert (await connect(client, server)).server.connection_id != before


async def test_sessions_at_once_share_one_connection(client, share):
    """One handshake is enough for all of them; who does not ask for it needs another connection."""
    server, ours, theirs = await share(client, 20)
    for number, (here, there) in enumerate(zip(ours, theirs, strict=True)):
        send = await here.open_uni()
        await send.write(b"%d" % number)
        await send.finish()
        assert await (await there.accept_uni()).read() == b"%d" % number
        await there.send_datagram(b"%d" % number)
        assert await here.receive_datagram() == b"%d" % number
    with pytest.raises(ConnectError, match="refused"):
        await client.connect(f"https://127.0.0.1:{server.local_addr[1]}/")


async def test_each_session_has_its_own_end(client, share):
    """Codes and reasons are told to the session that they are for, and the others go on."""
    _, ours, theirs = await share(client, 3)
    ours[0].close(7, "bye")
    await theirs[0].wait_closed()
    theirs[1].close(8, "go")
    with pytest.raises(SessionClosedByPeer) as error:
        await ours[1].accept_bi()
    assert (theirs[0].close_reason.code, error.value.code) == (7, 8)
    send = await ours[2].open_uni()
    await send.finish()
    assert await (await theirs[2].accept_uni()).read() == b""


async def test_a_later_session_joins(client, share):
    """A connection is shared for as long as it has a session, and a moment longer."""
    server, ours, _ = await share(client, 1)
    _, more, _ = await share(client, 1, server)
    for session in ours + more:
        session.close()
        await session.wait_closed()
    await share(client, 2, server)


async def test_a_rejected_request_leaves_the_others(client, share):
    """Its status is for one request, not for the connection."""
    server, ours, _ = await share(client, 1)
    rejected = asyncio.create_task(client.connect(f"https://127.0.0.1:{server.local_addr[1]}/no", pool=True))
    await (await server.accept()).reject(403)
    with pytest.raises(SessionRejected) as error:
        await rejected
    assert error.value.status_code == 403
    await ours[0].open_uni()
    await share(client, 1, server)


async def test_a_cancelled_attempt_leaves_the_others(make_server, client, share, parked):
    """Giving up concerns one session, also while all wait for one handshake."""
    server = make_server(max_connections=1)
    attempt = await parked(client.connect(f"https://127.0.0.1:{server.local_addr[1]}/", pool=True))
    sharing = await parked(share(client, 3, server))
    attempt.cancel()
    await sharing
    with pytest.raises(asyncio.CancelledError):
        await attempt


async def test_what_exceeds_the_servers_limit_goes_elsewhere(make_server, client, share):
    """WT §5.2: a request that was not processed is made again, on another connection."""
    _, ours, theirs = await share(client, 5, make_server(max_sessions=2))
    assert len(ours) == len(theirs) == 5


@pytest.mark.parametrize("dialect", ["draft-02", "draft-07"])
async def test_without_flow_control_each_has_its_own(make_server, make_client, share, dialect):
    """WT §5.1: a connection without flow control carries one session, whatever was asked for."""
    client, server = make_client(dialects=[dialect]), make_server(max_connections=3)
    _, ours, _ = await share(client, 3, server)
    with pytest.raises(ConnectError, match="refused"):
        await client.connect(f"https://127.0.0.1:{server.local_addr[1]}/", pool=True)
    ours[0].close()
    await ours[0].wait_closed()


async def test_a_draining_connection_takes_no_more(client, share):
    """WT §4.7: after GOAWAY a new session wants a new connection, which a draining server refuses."""
    server, ours, _ = await share(client, 2)
    server.drain()
    await ours[0].draining
    await ours[1].draining
    with pytest.raises(ConnectError, match="refused"):
        await client.connect(f"https://127.0.0.1:{server.local_addr[1]}/", pool=True)
    await ours[0].open_uni()


async def test_closing_the_client_ends_all_that_share(client, share):
    """One CONNECTION_CLOSE is enough, and each session hears of it."""
    _, _, theirs = await share(client, 4)
    client.close(9, "all of you")
    for session in theirs:
        await session.wait_closed()
        assert (session.close_reason.source, session.close_reason.code) == ("application", 9)
    await client.wait_closed()

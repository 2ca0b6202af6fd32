"""Sessions: answering, streams and datagrams as they come, and an end that both sides know."""

import asyncio

import pytest
import web_transport
from pywebtransport import (
    ConnectionError,
    DatagramError,
    EventType,
    HandshakeError,
    SessionClosedError,
    SessionError,
    SessionState,
    WebTransportReceiveStream,
    WebTransportStream,
)
from pywebtransport.testing import expecting

from tests.framework.meeting import join, requested, url_of

# Answering


async def test_a_request_shows_what_was_asked(serve, make_client):
    """Before it is answered a server's session has path, query, header fields and offers of the client."""
    server, client = await serve(), make_client(headers={"X-One": "1"}, user_agent="agent/1")
    offer = {"headers": {"x-two": "2"}, "wt_available_protocols": ["chat-2", "chat-1"]}
    connecting = asyncio.create_task(client.connect(url_of(server, "/a%20b?c=d"), **offer))
    session = await requested(server)
    assert (session.path, session.query, session.url.startswith("https://127.0.0.1:")) == ("/a%20b", "c=d", True)
    assert session.headers.items() >= {"x-one": "1", "x-two": "2", "user-agent": "agent/1"}.items()
    assert session.wt_available_protocols == ["chat-2", "chat-1"]
    assert (session.state, session.is_client, session.wt_protocol) == (SessionState.CONNECTING, False, None)
    assert session.remote_address[0] == "127.0.0.1"
    with pytest.raises(SessionError, match="not accepted"):
        await session.create_bidirectional_stream()
    assert session.diagnostics().state is SessionState.CONNECTING
    await session.accept(wt_protocol="chat-1")
    ours = await connecting
    assert ours.wt_protocol == session.wt_protocol == "chat-1"
    assert (ours.state, session.state) == (SessionState.CONNECTED, SessionState.CONNECTED)
    assert (ours.path, ours.is_client) == ("/a%20b", True)
    with pytest.raises(SessionError, match="already"):
        await session.accept()
    with pytest.raises(SessionError):
        await ours.accept()


async def test_a_rejection_reaches_the_client(serve, make_client):
    """The status, header fields and body of a rejection are in the client's error."""
    server, client = await serve(), make_client()
    connecting = asyncio.create_task(client.connect(url_of(server)))
    session = await requested(server)
    await session.reject(status_code=429, headers={"Retry-After": "5"}, body=b"slowly")
    with pytest.raises(HandshakeError) as caught:
        await connecting
    assert (caught.value.status_code, caught.value.body, caught.value.is_retriable) == (429, b"slowly", True)
    assert caught.value.headers["retry-after"] == "5"
    assert isinstance(caught.value, ConnectionError)
    assert session.state is SessionState.CLOSED
    await session.wait_closed()
    assert session.close_reason == "rejected with status 429"
    with pytest.raises(SessionError, match="rejected with status 429"):
        await session.read_datagram()
    with pytest.raises(SessionError, match="already"):
        await session.accept()


async def test_closing_a_request_rejects_it(serve, make_client):
    """Who closes what was not answered says no."""
    server, client = await serve(), make_client()
    connecting = asyncio.create_task(client.connect(url_of(server)))
    session = await requested(server)
    await session.close()
    await session.close()
    with pytest.raises(HandshakeError) as caught:
        await connecting
    assert caught.value.status_code == 403


@pytest.mark.parametrize("answer", ["accept", "reject"])
async def test_a_client_that_has_gone_leaves_nothing(serve, make_client, answer):
    """Answering who does not wait any more is an error, after which the request is over and has no place."""
    server = await serve()
    async with web_transport.Client(no_cert_verification=True) as client:
        connecting = asyncio.create_task(client.connect(url_of(server)))
        session = await requested(server)
        client.close()
        with pytest.raises(web_transport.ConnectError):
            await connecting
    other = await join(make_client(), server)  # what the first client sent last was before it
    with pytest.raises(SessionError, match="gone|closed") as caught:
        await getattr(session, answer)()
    assert isinstance(caught.value.__cause__, web_transport.SessionError)
    assert (session.state, session.close_reason) == (SessionState.CLOSED, "the client has gone")
    assert server.session_manager.sessions == [other.server]
    await session.close()


# Streams


async def test_incoming_streams_of_one_kind(ends):
    """Iteration has every stream of its kind, in order, and ends with the session."""
    streams = [await ends.client.create_bidirectional_stream() for _ in range(3)]
    for index, stream in enumerate(streams):
        await stream.write_all(bytes([index]))
    seen = []
    async for stream in ends.server.incoming_bidirectional_streams():
        seen.append(await stream.read_all())
        if len(seen) == 3:
            closing = asyncio.create_task(ends.client.close())
    await closing
    assert seen == [b"\0", b"\1", b"\2"]


async def test_incoming_streams_of_both_kinds(ends):
    """Iteration over both kinds has them all, and the types tell them apart."""
    for each in ("a", "b"):
        async with await ends.client.create_unidirectional_stream() as send:
            await send.write(each.encode())
        both = await ends.client.create_bidirectional_stream()
        await both.write_all(each.upper().encode())
    seen = {}
    async for stream in ends.server.incoming_streams():
        assert isinstance(stream, WebTransportStream | WebTransportReceiveStream)
        seen[await stream.read_all()] = isinstance(stream, WebTransportStream)
        if len(seen) == 4:
            break
    assert seen == {b"a": False, b"A": True, b"b": False, b"B": True}


async def test_an_iteration_given_up_loses_no_stream(ends):
    """What one iteration had taken but not given is for the next who asks."""
    send = await ends.client.create_unidirectional_stream()
    both = await ends.client.create_bidirectional_stream()
    await send.write_all(b"uni")
    await both.write_all(b"bi")
    iteration = ends.server.incoming_streams()
    first = await anext(iteration)
    await iteration.aclose()
    await asyncio.sleep(0)
    if isinstance(first, WebTransportStream):
        second = await ends.server.accept_unidirectional_stream()
    else:
        second = await ends.server.accept_bidirectional_stream()
    assert {await first.read_all(), await second.read_all()} == {b"uni", b"bi"}


async def test_each_iteration_begins_where_the_last_was_left(ends):
    """``anext`` on a new iteration each time: it is given up at once, with streams of both kinds about to come."""
    waiting = asyncio.create_task(anext(ends.server.incoming_streams()))
    await asyncio.sleep(0)
    for _ in range(3):
        send, both = await ends.client.create_unidirectional_stream(), await ends.client.create_bidirectional_stream()
        sent = {send.stream_id, both.stream_id}
        streams = [await waiting, await anext(ends.server.incoming_streams())]
        assert {stream.stream_id for stream in streams} == sent
        waiting = asyncio.create_task(anext(ends.server.incoming_streams()))
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    send = await ends.client.create_unidirectional_stream()
    assert (await ends.server.accept_unidirectional_stream()).stream_id == send.stream_id


async def test_iteration_ends_behind_the_last_stream(ends):
    """What came before the peer closed is still there, of both kinds."""
    for _ in range(2):
        await (await ends.client.create_unidirectional_stream()).write_all(b"uni")
    await (await ends.client.create_bidirectional_stream()).write_all(b"bi")
    await ends.client.close()
    await ends.server.wait_closed()
    assert sorted([await stream.read_all() async for stream in ends.server.incoming_streams()]) == [b"bi", b"uni", b"uni"]


async def test_no_kind_waits_for_the_other(ends):
    """A stream of one kind has its turn, however many of the other came behind it."""
    send = await ends.client.create_unidirectional_stream()
    for _ in range(64):
        await ends.client.create_bidirectional_stream()
    for _ in range(60):  # so that those behind them are there
        await ends.server.accept_bidirectional_stream()
    came = []
    async for stream in ends.server.incoming_streams():
        came.append(stream.stream_id)
        if len(came) == 5:
            break
    assert send.stream_id in came[:2]


async def test_an_accept_that_times_out_loses_no_stream(ends):
    """Accepting with a time limit is safe to repeat."""
    for accept in (ends.server.accept_bidirectional_stream, ends.server.accept_unidirectional_stream):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await accept()
    both, send = await ends.client.create_bidirectional_stream(), await ends.client.create_unidirectional_stream()
    assert (await ends.server.accept_bidirectional_stream()).stream_id == both.stream_id
    assert (await ends.server.accept_unidirectional_stream()).stream_id == send.stream_id


async def test_stream_credit_comes_back_after_a_clean_close(meet):
    """Far more streams than may be open at once, one after the other: each frees its place when it is done."""
    ends = await meet(server={"max_streams_bidi": 4, "max_streams_uni": 4}, client={"stream_create_timeout": 5})

    async def echo():
        async for stream in ends.server.incoming_bidirectional_streams():
            await stream.write_all(await stream.read_all())

    echoing = asyncio.create_task(echo())
    for number in range(64):
        stream = await ends.client.create_bidirectional_stream()
        await stream.write_all(bytes([number]))
        assert await stream.read_all() == bytes([number])
    await ends.client.close()
    await echoing


async def test_opening_waits_for_credit_no_longer_than_allowed(meet):
    """Where the peer permits no more streams, opening one times out, and works again when there is room."""
    ends = await meet(server={"max_streams_bidi": 1, "max_streams_uni": 1}, client={"stream_create_timeout": 0.05})
    first, theirs = await ends.bi()
    with pytest.raises(TimeoutError, match=r"opening a stream took longer than 0\.05 s"):
        await ends.client.create_bidirectional_stream()
    await first.close()
    await theirs.close()
    async with asyncio.timeout(10):
        while True:
            try:
                await ends.client.create_bidirectional_stream()
            except TimeoutError:
                continue
            break


# The end


@pytest.mark.parametrize("closer", ["client", "server"])
async def test_code_and_reason_stay_readable_on_both_sides(ends, closer):
    """Whoever closes, both sides have the same code and reason afterwards, in the state, the event and the errors."""
    sides = {"client": ends.client, "server": ends.server}
    mine, other = sides.pop(closer), sides.popitem()[1]
    closed = asyncio.create_task(other.events.wait_for(EventType.SESSION_CLOSED))
    accepting = asyncio.create_task(other.accept_bidirectional_stream())
    await asyncio.sleep(0)
    assert (mine.close_code, mine.close_reason) == (None, None)
    await mine.close(error_code=42, reason="done")
    await other.wait_closed()
    for side in (mine, other):
        assert (side.close_code, side.close_reason, side.state, side.is_closed) == (42, "done", SessionState.CLOSED, True)
        figures = side.diagnostics()
        assert (figures.close_code, figures.close_reason, figures.state) == (42, "done", SessionState.CLOSED)
        assert figures.closed_at >= figures.ready_at >= figures.created_at
    event = await closed
    assert (event.data["close_code"], event.data["close_reason"]) == (42, "done")
    with pytest.raises(SessionClosedError) as caught:
        await accepting
    assert (caught.value.error_code, caught.value.reason, caught.value.source) == (42, "done", "peer")
    with pytest.raises(SessionClosedError) as caught:
        await mine.create_bidirectional_stream()
    assert caught.value.source == "local"
    with pytest.raises(SessionClosedError):
        await other.events.wait_for(EventType.DATAGRAM_RECEIVED)
    await mine.close(1, "again")
    assert mine.close_code == 42


async def test_a_session_of_connect_closes_its_connection(ends):
    """There is nothing else to close: the connection goes with the session, on both sides, and leaves no entry."""
    assert ends.client.connection.state == "connected"
    async with ends.client:
        pass
    await ends.server.wait_closed()
    for session in (ends.client, ends.server):
        assert session.connection.is_closed
        assert session.connection.state == "closed"
    assert len(ends.connector.connection_manager) == len(ends.listener.connection_manager) == len(ends.listener.session_manager) == 0


async def test_a_peer_that_vanishes_is_a_lost_connection(meet):
    """Silence is no close: iteration raises it, and the error says so."""
    ends = await meet(
        server={"max_idle_timeout": 1, "keep_alive_interval": None}, client={"keep_alive_interval": None, "max_idle_timeout": 1}
    )
    lost = asyncio.create_task(ends.listener.events.wait_for(EventType.CONNECTION_LOST))
    with pytest.raises(ConnectionError, match="nothing heard") as caught:
        async for _ in ends.server.incoming_streams():
            pass
    assert caught.value.details == {"source": "timeout"}
    assert (await lost).data["error"].details == {"source": "timeout"}
    await ends.server.wait_closed()
    assert ends.server.close_code is None
    assert "nothing heard" in ends.server.close_reason
    assert ends.listener.diagnostics().stats.connection_errors == 1


async def test_a_client_that_closes_altogether_ends_iteration(ends):
    """Closing the client is a close too, and no reason for a handler's traceback."""
    connecting = asyncio.create_task(requested(ends.listener))
    client = web_transport.Client(no_cert_verification=True)  # it closes its connections without closing sessions first
    async with client, asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(client.connect(url_of(ends.listener)))
        session = await connecting
        await session.accept()
        await asking
        client.close(3, "leaving")
        async for _ in session.incoming_bidirectional_streams():
            pass
    with pytest.raises(ConnectionError) as caught:
        await session.accept_bidirectional_stream()
    assert (caught.value.error_code, caught.value.details) == (3, {"source": "application", "reason": "leaving"})
    assert (session.close_code, session.close_reason, session.fault) == (3, "leaving", None)


async def test_draining_is_a_state_and_an_event(ends):
    """A wish to end is told on both sides, and the session goes on."""
    async with expecting(ends.client.events, EventType.SESSION_DRAINING) as drained:
        ends.server.drain()
    assert drained.data["session_id"] == ends.client.session_id
    assert (ends.client.state, ends.server.state) == (SessionState.DRAINING, SessionState.DRAINING)
    await (await ends.client.create_unidirectional_stream()).write_all(b"x")
    assert await (await ends.server.accept_unidirectional_stream()).read_all() == b"x"


# More


async def test_both_sides_derive_the_same_bytes(ends):
    """Keying material is the same on both sides, and depends on all arguments."""
    material = await ends.client.export_keying_material(label="test", context=b"c", length=48)
    assert material == await ends.server.export_keying_material(b"test", b"c", 48)
    assert material != await ends.client.export_keying_material("test", b"d", 48)
    assert len(material) == 48
    with pytest.raises(ValueError, match="label"):
        await ends.client.export_keying_material("")


async def test_stream_events_reach_the_session_s_listeners(ends):
    """A session's listeners hear of the ends of its streams, of those before them too."""
    before, theirs = await ends.bi()
    heard = asyncio.create_task(ends.server.events.wait_for(EventType.STREAM_RESET_RECEIVED))
    opened = asyncio.create_task(ends.server.events.wait_for(EventType.STREAM_OPENED))
    await asyncio.sleep(0)
    await before.reset(6)
    event = await heard
    assert event.data == {"stream_id": theirs.stream_id, "session_id": ends.server.session_id, "error_code": 6}
    _, second = await ends.bi()
    event = await opened
    assert (event.data["stream"], event.data["is_peer_initiated"]) == (second, True)


async def test_diagnostics_count_streams_and_datagrams(ends):
    """Streams are counted by who opened them and of what kind, and leave the active ones when they have ended."""
    ours, theirs = await ends.bi()
    await ours.write_all(b"x")
    await theirs.write_all(await theirs.read_all())
    await ours.read_all()
    _, kept = await ends.bi()
    await ends.server.create_unidirectional_stream()
    await ends.client.send_datagram(b"12345")
    assert await ends.server.read_datagram() == b"12345"
    figures = ends.server.diagnostics()
    assert figures == await ends.server.diagnostics()
    assert (figures.peer_streams_bidi_opened, figures.peer_streams_bidi_closed, figures.local_streams_uni_opened) == (2, 1, 1)
    assert (figures.active_streams, figures.datagrams_received, figures.datagram_bytes_received) == (1, 1, 5)
    assert kept.can_read
    figures = ends.client.diagnostics()
    assert (figures.local_streams_bidi_opened, figures.datagrams_sent, figures.datagram_bytes_sent) == (2, 1, 5)
    assert figures.dialect == "draft-16"
    assert figures.rtt > 0
    assert figures.to_dict()["state"] == "connected"


async def test_datagram_errors(ends):
    """What cannot be a datagram is refused with the reason."""
    with pytest.raises(DatagramError, match="too large|longer"):
        await ends.client.send_datagram(bytes(ends.client.datagrams.max_size + 1))
    await ends.client.send_datagram(bytes(ends.client.datagrams.max_size))

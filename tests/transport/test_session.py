"""Sessions: opening and accepting streams, what everybody sees of the end, and who is named for it."""

import asyncio
import gc

import pytest
from web_transport import SessionClosedByPeer, SessionClosedLocally, SessionError

CALLS = ["open_bi", "open_uni", "accept_bi", "accept_uni", "receive_datagram"]


@pytest.mark.parametrize("act", ["open", "write", "finish", "reset", "stop"])
async def test_accept_needs_no_data(pair, act):
    """A stream's header leaves when it opens: the peer accepts on an open alone, on a reset or a stop alone."""
    send, recv = await pair.client.open_bi()
    match act:
        case "write":
            await send.write(b"x")
        case "finish":
            await send.finish()
        case "reset":
            send.reset(1)
        case "stop":
            recv.stop(1)
    assert len(await pair.server.accept_bi()) == 2


async def test_both_sides_open_and_accept(pair):
    """Streams of either direction, opened by either side."""
    for opener, accepter in [(pair.client, pair.server), (pair.server, pair.client)]:
        uni, accepted = await opener.open_uni(), await accepter.accept_uni()
        async with uni:
            await uni.write(b"uni")
        assert await accepted.read() == b"uni"
        (send, recv), (send_back, recv_there) = await opener.open_bi(), await accepter.accept_bi()
        async with send:
            await send.write(b"there")
        assert await recv_there.read() == b"there"
        async with send_back:
            await send_back.write(b"back")
        assert await recv.read() == b"back"


async def test_waiting_accepts_are_all_served(pair):
    """Any number of tasks may wait in accept: each gets a stream of its own."""
    accepting = [asyncio.create_task(pair.server.accept_uni()) for _ in range(10)]
    await asyncio.sleep(0)
    for index in range(10):
        async with await pair.client.open_uni() as send:
            await send.write(b"%d" % index)
    received = [await recv.read() for recv in await asyncio.gather(*accepting)]
    assert sorted(received) == [b"%d" % index for index in range(10)]


async def test_cancelled_accept_loses_no_stream(pair, parked):
    """A stream leaves the queue only when accept returns it."""
    for accept in (pair.server.accept_uni, pair.server.accept_bi):
        accepting = await parked(accept())
        accepting.cancel()
        opened = await (pair.client.open_uni() if accept == pair.server.accept_uni else pair.client.open_bi())
        await accept()
        del opened


async def test_streams_wait_for_their_accept(pair):
    """Streams that were opened, written and finished before anybody accepted stay readable."""
    for index in range(20):
        async with await pair.client.open_uni() as send:
            await send.write(b"%d" % index)
    await pair.client.send_datagram(b"all sent")
    await pair.server.receive_datagram()
    received = [await (await pair.server.accept_uni()).read() for _ in range(20)]
    assert received == [b"%d" % index for index in range(20)]


async def test_open_waits_for_credit(pair):
    """Opening waits while the peer permits no more streams, and goes on when some have ended."""
    opened = [await pair.client.open_uni() for _ in range(100)]  # W3C: what browsers ask for
    while True:
        opening = asyncio.create_task(pair.client.open_uni())
        done, _ = await asyncio.wait([opening], timeout=0.2)
        if not done:
            break
        opened.append(opening.result())
    opening.cancel()
    waiting = asyncio.create_task(pair.client.open_uni())
    for send in opened:
        await send.finish()
    for _ in opened:
        assert await (await pair.server.accept_uni()).read() == b""
    send = await waiting
    async with send:
        await send.write(b"next")
    assert await (await pair.server.accept_uni()).read() == b"next"


@pytest.mark.parametrize("cancelled", [0, 20])
async def test_every_call_opens_one_stream(pair, cancelled):
    """However many tasks open at once, the peer sees a stream for each; one of a cancelled call goes to the next."""
    opened = 0

    async def open_one():
        nonlocal opened
        send = await pair.client.open_uni()
        opened += 1
        async with send:
            await send.write(b"x")

    async def accept_all():
        while len(accepted) <= opened:
            accepted.append(await (await pair.server.accept_uni()).read())

    accepted = []
    accepting = asyncio.create_task(accept_all())
    for _ in range(20):
        doomed = [asyncio.create_task(open_one()) for _ in range(cancelled)]
        await asyncio.sleep(0)
        for task in doomed:
            task.cancel()  # which comes too late for some
        await asyncio.gather(*(open_one() for _ in range(50)), *doomed, return_exceptions=True)
    async with await pair.client.open_uni() as last:
        await last.write(b"last")
    await accepting
    assert sorted(accepted) == [b"last", *[b"x"] * opened]
    one_more = asyncio.create_task(pair.server.accept_uni())
    await pair.client.send_datagram(b"nothing else was sent")
    await pair.server.receive_datagram()
    assert not one_more.done()
    one_more.cancel()


async def test_cancelled_open_leaves_no_stream_behind(make_server, make_client, connect):
    """What a cancelled call opened goes to the next, whichever of those that wait is served first."""
    pair = await connect(make_client(), make_server(max_streams=2))

    async def open_one():
        async with await pair.client.open_uni() as send:
            await send.write(b"x")

    full = [await pair.client.open_uni() for _ in range(2)]
    cancelled, waiting = asyncio.create_task(pair.client.open_uni()), asyncio.create_task(open_one())
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    for send in full:
        await send.finish()
        assert await (await pair.server.accept_uni()).read() == b""
    await waiting
    for _ in range(5):
        assert await (await pair.server.accept_uni()).read() == b"x"
        await open_one()
    assert await (await pair.server.accept_uni()).read() == b"x"
    one_more = asyncio.create_task(pair.server.accept_uni())
    await pair.client.send_datagram(b"nothing else was opened")
    await pair.server.receive_datagram()
    assert not one_more.done()
    one_more.cancel()


@pytest.mark.parametrize("method", [*CALLS, "wait_closed"])
async def test_methods_are_coroutines(pair, method):
    """`asyncio.create_task(session.accept_bi())` works, and so for all the others."""
    task = asyncio.create_task(getattr(pair.client, method)())
    task.cancel()
    await asyncio.wait([task])


async def test_properties(pair, server):
    """What is known of a session: addresses as 2-tuples, the round-trip time in seconds, the dialect's name."""
    assert pair.client.remote_address == ("127.0.0.1", server.local_addr[1])
    assert type(pair.server.remote_address) is tuple
    assert pair.server.remote_address[0] == "127.0.0.1"
    assert 0 <= pair.client.rtt < 5
    assert pair.client.dialect == pair.server.dialect
    assert pair.client.dialect in ("draft-02", "draft-07", "draft-14", "draft-16")
    assert pair.client.max_datagram_size > 1000
    assert pair.client.close_reason is None
    assert pair.server.close_reason is None


async def test_close_tells_code_and_reason(pair):
    """The peer gets both as they are; close_reason is what calls raise."""
    pair.client.close(2**32 - 1, "g\u00fcle g\u00fcle")
    await pair.server.wait_closed()
    error = pair.server.close_reason
    assert isinstance(error, SessionClosedByPeer)
    assert (error.source, error.code, error.reason) == ("session", 2**32 - 1, "g\u00fcle g\u00fcle")
    with pytest.raises(SessionClosedByPeer) as caught:
        await pair.server.open_bi()
    assert str(caught.value) == str(error)


async def test_close_is_local_at_once(pair):
    """Every call raises SessionClosedLocally from now on, and closing again does nothing."""
    pair.client.close(1, "first")
    pair.client.close(2, "second")
    assert isinstance(pair.client.close_reason, SessionClosedLocally)
    for call in CALLS:
        with pytest.raises(SessionClosedLocally):
            await getattr(pair.client, call)()
    await pair.client.wait_closed()
    await pair.server.wait_closed()
    assert (pair.server.close_reason.code, pair.server.close_reason.reason) == (1, "first")


@pytest.mark.parametrize("code", [-1, 2**32, 2**64])
async def test_close_code_has_32_bits(pair, code):
    """WT §6: the code is a u32; one that is none closes nothing."""
    with pytest.raises(OverflowError, match=rf"^code must be at least 0 and below 2\*\*32: {code}\b"):
        pair.client.close(code)
    assert pair.client.close_reason is None


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1024),
        ("x" + "\u00fc" * 600, "x" + "\u00fc" * 511),
        ("\U0001f600" * 300, "\U0001f600" * 256),
    ],
    ids=["fits", "one more", "two bytes", "four bytes"],
)
async def test_long_reasons_are_cut_at_a_character(pair, reason, expected):
    """WT §6: at most 1024 bytes of UTF-8, and still UTF-8."""
    pair.client.close(0, reason)
    await pair.server.wait_closed()
    assert pair.server.close_reason.reason == expected


async def test_the_peers_close_interrupts_every_call(pair, parked):
    """All that waits ends with the same error: whatever it waited for, the session's end is the cause."""
    (send, recv), _ = await pair.bi()
    waiting = [await parked(getattr(pair.client, call)()) for call in CALLS if not call.startswith("open")]
    waiting += [await parked(recv.read()), await parked(recv.wait_closed()), await parked(send.wait_closed())]
    writing = asyncio.create_task(send.write(bytes(64 << 20)))
    await asyncio.sleep(0)
    pair.server.close(42, "over")
    for outcome in await asyncio.gather(*waiting, writing, return_exceptions=True):
        assert isinstance(outcome, SessionClosedByPeer)
        assert (outcome.source, outcome.code, outcome.reason) == ("session", 42, "over")


async def test_local_close_interrupts_every_call(pair, parked):
    """And here all that waits raises SessionClosedLocally."""
    (send, recv), _ = await pair.bi()
    waiting = [await parked(getattr(pair.client, call)()) for call in CALLS if not call.startswith("open")]
    waiting += [await parked(recv.read()), await parked(recv.wait_closed()), await parked(send.wait_closed())]
    pair.client.close()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, SessionClosedLocally)


async def test_local_close_ends_reads_with_data_buffered(pair):
    """After a local close reads raise too, even where data had arrived."""
    send, recv = await pair.uni()
    async with send:
        await send.write(b"unread")
    assert await recv.read(2) == b"un"
    pair.server.close()
    with pytest.raises(SessionClosedLocally):
        await recv.read()


async def test_what_was_finished_is_delivered_before_the_close(pair):
    """A stream that was finished arrives to its end, and then the code: close cuts nothing off."""
    data = bytes(range(256)) * 4096
    sending = [await pair.client.open_uni() for _ in range(3)]
    for send in sending:
        await send.write(data)
        await send.finish()
    pair.client.close(9, "all said")
    received = [await pair.server.accept_uni() for _ in range(3)]
    assert [await recv.read() for recv in received] == [data] * 3
    await pair.server.wait_closed()
    assert (pair.server.close_reason.code, pair.server.close_reason.reason) == (9, "all said")


async def test_finished_streams_stay_readable_after_the_peers_close(pair):
    """A stream whose FIN came before the close is read to its end, although the session is over."""
    send, recv = await pair.uni()
    async with send:
        await send.write(b"the end")
    await recv.read(3)
    pair.client.close()
    await pair.server.wait_closed()
    assert await recv.read() == b" end"
    assert await recv.read() == b""


async def test_unfinished_streams_end_with_the_session(pair):
    """What was not finished raises the session's error, never a reset: the end of the session is the cause."""
    send, recv = await pair.uni()
    await send.write(b"half")
    assert await recv.read(4) == b"half"
    pair.client.close(4, "gone")
    with pytest.raises(SessionClosedByPeer) as caught:
        await recv.read()
    assert caught.value.code == 4


async def test_wait_closed_never_raises(pair, parked):
    """It returns for any end, on both sides, at once when the session is over, and for any number of tasks."""
    waiting = [await parked(session.wait_closed()) for session in (pair.client, pair.server, pair.server)]
    pair.client.close()
    await asyncio.gather(*waiting)
    await pair.client.wait_closed()
    await pair.server.wait_closed()


async def test_leaving_the_context_closes(pair):
    """`async with` closes with code 0 and an empty reason, and waits."""
    async with pair.client as session:
        assert session is pair.client
    await pair.server.wait_closed()
    error = pair.server.close_reason
    assert (error.source, error.code, error.reason) == ("session", 0, "")


async def test_an_exception_passes_through_the_context(pair):
    """The session is closed, and the exception goes on."""
    with pytest.raises(KeyError):
        async with pair.client:
            raise KeyError
    assert isinstance(pair.client.close_reason, SessionClosedLocally)


async def test_dropped_session_is_closed(pair):
    """A session without a reference left is closed with code 0."""
    server = pair.server
    pair.client = None
    gc.collect()
    await server.wait_closed()
    assert (server.close_reason.source, server.close_reason.code) == ("session", 0)


async def test_a_session_outlives_its_name_while_streams_are_kept(pair):
    """Whoever keeps a stream need not keep its session."""
    send, recv = await pair.uni()
    pair.client = None
    gc.collect()
    async with send:
        await send.write(b"alive")
    assert await recv.read() == b"alive"


async def test_sessions_are_independent(server, client, connect):
    """Closing one leaves the others as they were."""
    first, second = await connect(client, server), await connect(client, server)
    first.client.close(1)
    await first.server.wait_closed()
    send, recv = await second.uni()
    async with send:
        await send.write(b"still here")
    assert await recv.read() == b"still here"
    assert isinstance(first.server.close_reason, SessionError)
    assert second.server.close_reason is None

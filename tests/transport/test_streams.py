"""Streams: bytes arrive once and in order, ends are never confused, and a cancelled call loses nothing."""

import array
import asyncio
import gc

import pytest
from web_transport import (
    SessionClosedByPeer,
    SessionClosedLocally,
    StreamClosedByPeer,
    StreamClosedLocally,
    StreamIncompleteReadError,
    StreamTooLongError,
)

PLENTY = bytes(64 << 20)  # more than any window and buffer takes: writing it waits for a reader


# Reading


async def test_read_takes_all_to_the_end(pair):
    """read() waits for the FIN; at the end there is b"", again and again."""
    send, recv = await pair.uni()
    await send.write(b"hello ")
    await send.write(b"world")
    await send.finish()
    assert await recv.read() == b"hello world"
    for n in (-1, 1, 100, 0):
        assert await recv.read(n) == b""
    assert await recv.readexactly(0) == b""


async def test_read_n_gives_what_is_there(pair):
    """read(n) returns 1 to n bytes as soon as there are any, and all that are there, not one packet's worth."""
    send, recv = await pair.uni()
    await send.write(b"x" * 50_000)
    await send.finish()
    assert await recv.wait_closed() is None  # all has arrived
    assert await recv.read(10) == b"x" * 10
    assert len(await recv.read(49_000)) == 49_000
    assert len(await recv.read(1 << 20)) == 990
    assert await recv.read(1 << 20) == b""


async def test_read_0_is_empty_and_waits_for_nothing(pair):
    """Nothing was asked for."""
    _, recv = await pair.uni()
    assert await recv.read(0) == b""


async def test_huge_sizes_are_sizes(pair):
    """A size beyond any memory is no reason to fail: it is a limit, not an allocation."""
    send, recv = await pair.uni()
    async with send:
        await send.write(b"small")
    assert await recv.read(2**70) == b"small"
    with pytest.raises(StreamIncompleteReadError):
        await recv.readexactly(2**70)


async def test_limit(pair):
    """A stream of exactly *limit* bytes is fine."""
    send, recv = await pair.uni()
    async with send:
        await send.write(b"12345")
    assert await recv.read(limit=5) == b"12345"


async def test_too_long_keeps_the_data(pair):
    """Past *limit* the read fails without waiting for the end, and what was read stays for others."""
    send, recv = await pair.uni()
    await send.write(b"123456")
    for _ in range(2):
        with pytest.raises(StreamTooLongError) as caught:
            await recv.read(limit=5)
        assert caught.value.limit == 5
    await send.write(b"789")
    await send.finish()
    assert await recv.read(2) == b"12"
    assert await recv.read(limit=7) == b"3456789"


async def test_readexactly(pair):
    """Neither more nor fewer, over as many writes as it takes."""
    send, recv = await pair.uni()
    reading = asyncio.create_task(recv.readexactly(6))
    for part in (b"ab", b"cd", b"efgh"):
        await send.write(part)
    assert await reading == b"abcdef"
    assert await recv.readexactly(2) == b"gh"
    with pytest.raises(ValueError, match="-1"):
        await recv.readexactly(-1)


async def test_readexactly_at_the_end(pair):
    """A stream that ends before says what there was."""
    send, recv = await pair.uni()
    async with send:
        await send.write(b"abc")
    with pytest.raises(StreamIncompleteReadError) as caught:
        await recv.readexactly(5)
    assert (caught.value.expected, caught.value.partial) == (5, b"abc")
    assert await recv.read() == b""


async def test_iteration(pair):
    """`async for` gives chunks to the end; none is empty."""
    send, recv = await pair.uni()
    data = bytes(range(256)) * 1024

    async def write():
        async with send:
            await send.write(data)

    writing = asyncio.create_task(write())
    chunks = [chunk async for chunk in recv]
    await writing
    assert all(chunks)
    assert b"".join(chunks) == data


@pytest.mark.parametrize("method", ["read", "readexactly"])
async def test_cancelled_read_loses_no_byte(pair, parked, method):
    """Bytes leave a stream only when a read returns them; those that a cancelled one had gathered come first."""
    send, recv = await pair.uni()
    await send.write(b"hello ")
    while True:
        reading = asyncio.create_task(recv.read() if method == "read" else recv.readexactly(100))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        if head := await asyncio.wait_for(recv.read(3), 5):
            break
    await send.write(b"world")
    await send.finish()
    assert head + await recv.read() == b"hello world"


async def test_call_that_was_begun_by_hand_and_given_up_holds_up_nobody(pair):
    """Who looks whether a call is done at once, and closes it if not, leaves nothing behind that others stumble over."""
    send, recv = await pair.uni()
    await send.write(b"a")
    assert await recv.readexactly(1) == b"a"
    call = recv.read(1)
    call.send(None)
    call.close()
    reading = asyncio.create_task(recv.read(1))
    await asyncio.sleep(0)  # it waits where the other did
    await send.write(b"b")
    assert await asyncio.wait_for(reading, 5) == b"b"


async def test_put_back_bytes_are_topped_up(pair):
    """read(n) gives as many as are there, wherever they are: those put back, and those that came since."""
    send, recv = await pair.uni()
    await send.write(b"abc")
    with pytest.raises(StreamTooLongError):
        await recv.read(limit=2)
    await send.write(b"def")
    await send.finish()
    await recv.wait_closed()
    assert await recv.readexactly(1) == b"a"
    assert await recv.read(100) == b"bcdef"


async def test_readers_are_served_in_turn(pair, parked):
    """Two tasks never share a call's bytes: each is served whole, in the order in which they came."""
    send, recv = await pair.uni()
    readers = [await parked(recv.readexactly(4)) for _ in range(4)]
    for part in (b"aa", b"aabb", b"bbc", b"cccdd", b"dd"):
        await send.write(part)
    assert await asyncio.gather(*readers) == [b"aaaa", b"bbbb", b"cccc", b"dddd"]


async def test_a_cancelled_turn_passes_on(pair, parked):
    """A reader that leaves the queue, or is cancelled at the very moment of its turn, does not stop the next."""
    send, recv = await pair.uni()
    first, second, third, fourth = [await parked(recv.readexactly(2)) for _ in range(4)]
    second.cancel()
    first.cancel()
    await asyncio.sleep(0)
    third.cancel()
    await send.write(b"ok")
    assert await fourth == b"ok"


# Writing


@pytest.mark.parametrize(
    "data",
    [b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview"), array.array("I", [1, 2, 3]), array.array("I"), b""],
    ids=repr,
)
async def test_any_buffer_can_be_written(pair, data):
    """Whatever is a contiguous buffer, counted in bytes; nothing at all is fine too."""
    send, recv = await pair.uni()
    await send.write(data)
    await send.finish()
    assert await recv.read() == bytes(memoryview(data).cast("B"))


async def test_what_is_no_buffer(pair):
    """Bytes are not guessed from a str or an int."""
    send, _ = await pair.uni()
    for data in ("text", 5, None, [1]):
        with pytest.raises(TypeError):
            await send.write(data)
        with pytest.raises(TypeError):
            await send.write_some(data)


async def test_the_data_is_copied(pair):
    """The buffer may be reused, and resized, once write returns."""
    send, recv = await pair.uni()
    buffer = bytearray(b"before")
    await send.write(buffer)
    buffer.clear()
    await send.finish()
    assert await recv.read() == b"before"


async def test_write_some(pair):
    """It queues at least a byte, and says how many."""
    send, recv = await pair.uni()
    taken = await send.write_some(PLENTY)
    assert 0 < taken < len(PLENTY)
    assert await send.write_some(b"") == 0
    await asyncio.gather(send.finish(), recv.readexactly(taken))
    assert await recv.read() == b""


async def test_back_pressure_suspends(pair):
    """Writing to a peer that does not read stops when the windows are full, and lets others run."""
    send, recv = await pair.uni()
    written = 0

    async def write():
        nonlocal written
        while True:
            await send.write(bytes(64 << 10))
            written += 64 << 10

    writing = asyncio.create_task(write())
    before = -1
    while before != written:  # until a while passes without progress
        before = written
        await asyncio.sleep(0.3)
    assert 0 < written < 64 << 20
    await recv.readexactly(written)  # reading gives the windows back
    writing.cancel()
    await asyncio.wait([writing])
    send.reset()


async def test_writers_are_served_in_turn(pair):
    """Writes of several tasks arrive whole, one behind the other, and finish waits for them."""
    send, recv = await pair.uni()
    size = 4 << 20
    writers = [asyncio.create_task(send.write(bytes([index]) * size)) for index in range(6)]
    await asyncio.sleep(0)
    finishing = asyncio.create_task(send.finish())
    data = await recv.read()
    await asyncio.gather(*writers, finishing)
    assert data == b"".join(bytes([index]) * size for index in range(6))


async def test_cancelled_write_leaves_the_stream_usable(pair, parked):
    """What it queued is a prefix, which arrives once and in order; a later write goes on behind it."""
    send, recv = await pair.uni()
    data = bytes(range(251)) * (PLENTY.__len__() // 251)
    writing = await parked(send.write(data))
    writing.cancel()
    await asyncio.wait([writing])
    marker = b"\xff" * 16  # not in the data
    finishing = asyncio.gather(send.write(marker), send.finish())
    received = await recv.read()
    await finishing
    assert received.endswith(marker)
    assert data.startswith(received.removesuffix(marker))


async def test_priority(pair):
    """A signed 32-bit number, 0 at first."""
    send, _ = await pair.uni()
    assert send.priority == 0
    for priority in (1, -(2**31), 2**31 - 1):
        send.priority = priority
        assert send.priority == priority
    for priority in (2**31, -(2**31) - 1):
        with pytest.raises(OverflowError):
            send.priority = priority


async def test_stream_ids_are_those_of_quic(pair):
    """Both ends use one number, and its lowest bits say who opened the stream and which way it flows."""
    (send, recv), (far_send, far_recv) = await pair.bi()
    assert len({s.stream_id for s in (send, recv, far_send, far_recv)}) == 1
    assert send.stream_id % 4 == 0
    uni, _ = await pair.uni()
    assert uni.stream_id % 4 == 2


# Ends


async def test_after_finish(pair):
    """Nothing can follow a FIN, and there is only one; a reset is still possible, once."""
    send, _ = await pair.uni()
    await send.finish()
    for data in (b"x", b""):
        with pytest.raises(StreamClosedLocally):
            await send.write(data)
    with pytest.raises(StreamClosedLocally):
        await send.write_some(b"x")
    with pytest.raises(StreamClosedLocally):
        await send.finish()
    send.reset()
    with pytest.raises(StreamClosedLocally):
        send.reset()


async def test_after_reset(pair):
    """Everything raises it."""
    send, _ = await pair.uni()
    send.reset(5)
    for call in (lambda: send.write(b"x"), lambda: send.write_some(b"x"), send.finish, send.wait_closed):
        with pytest.raises(StreamClosedLocally):
            await call()
    with pytest.raises(StreamClosedLocally):
        send.reset()


async def test_reset_reaches_every_read(pair):
    """An aborted stream never looks finished: every read raises, whatever had arrived before."""
    send, recv = await pair.uni()
    await send.write(b"lost")
    assert await recv.readexactly(2) == b"lo"
    with pytest.raises(StreamTooLongError):
        await recv.read(limit=1)  # one that keeps its bytes aside
    send.reset(2**32 - 1)
    assert await recv.wait_closed() == 2**32 - 1
    for call in (recv.read, lambda: recv.read(1), lambda: recv.read(0), lambda: recv.readexactly(1), lambda: anext(recv)):
        with pytest.raises(StreamClosedByPeer) as caught:
            await call()
        assert (caught.value.kind, caught.value.code) == ("reset", 2**32 - 1)


async def test_reset_interrupts_what_waits(pair, parked):
    """A pending write, a finish behind it and a wait end at once."""
    send, _ = await pair.uni()
    waiting = [await parked(call) for call in (send.write(PLENTY), send.finish(), send.wait_closed())]
    send.reset()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, StreamClosedLocally)


async def test_reset_interrupts_the_peers_read(pair, parked):
    """A read that waits hears of the reset."""
    send, recv = await pair.uni()
    reading = await parked(recv.read())
    send.reset(3)
    with pytest.raises(StreamClosedByPeer) as caught:
        await reading
    assert (caught.value.kind, caught.value.code) == ("reset", 3)


async def test_stop_reaches_every_write(pair):
    """Every write raises it, and finish succeeds, as often as one likes: there is nobody left to tell."""
    send, recv = await pair.uni()
    recv.stop(6)
    assert await send.wait_closed() == 6
    for _ in range(2):
        with pytest.raises(StreamClosedByPeer) as caught:
            await send.write(b"x")
        assert (caught.value.kind, caught.value.code) == ("stop", 6)
        await send.finish()
    with pytest.raises(StreamClosedByPeer):
        await send.write_some(b"x")
    assert await send.wait_closed() == 6


async def test_stop_interrupts_the_peers_write(pair, parked):
    """A write that waits hears of the stop."""
    send, recv = await pair.uni()
    writing = await parked(send.write(PLENTY))
    recv.stop(8)
    with pytest.raises(StreamClosedByPeer) as caught:
        await writing
    assert (caught.value.kind, caught.value.code) == ("stop", 8)


async def test_after_stop(pair):
    """Everything raises it, even a read of nothing; twice is once too often."""
    send, recv = await pair.uni()
    await send.write(b"unread")
    recv.stop()
    for call in (recv.read, lambda: recv.read(0), lambda: recv.read(1), lambda: recv.readexactly(1), recv.wait_closed):
        with pytest.raises(StreamClosedLocally):
            await call()
    with pytest.raises(StreamClosedLocally):
        recv.stop()


async def test_stop_interrupts_what_waits(pair, parked):
    """Pending reads and waits end at once."""
    _, recv = await pair.uni()
    waiting = [await parked(call) for call in (recv.read(), recv.read(1), recv.wait_closed())]
    recv.stop()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, StreamClosedLocally)


@pytest.mark.parametrize("code", [-1, 2**32])
async def test_codes_have_32_bits(pair, code):
    """WT §4.4: an application's code is a u32; one that is none closes nothing."""
    send, recv = await pair.uni()
    for give_up in (send.reset, recv.stop):
        with pytest.raises(OverflowError, match=rf"^code must be at least 0 and below 2\*\*32: {code}\b"):
            give_up(code)
    await send.write(b"open")
    assert await recv.readexactly(4) == b"open"


async def test_wait_closed_after_the_end(pair):
    """None on both sides after a FIN: it was acknowledged here, and has arrived there."""
    send, recv = await pair.uni()
    async with send:
        await send.write(b"x")
    assert await recv.read() == b"x"
    assert await recv.wait_closed() is None
    assert await send.wait_closed() is None


async def test_wait_closed_hears_of_a_reset_that_nobody_reads(pair, parked):
    """The peer's code comes although nobody reads."""
    send, recv = await pair.uni()
    waiting = await parked(recv.wait_closed())
    await send.write(b"x" * 1000)
    send.reset(11)
    assert await waiting == 11


async def test_halves_are_independent(pair):
    """One half of a bidirectional stream ends without the other."""
    (send, recv), (far_send, far_recv) = await pair.bi()
    send.reset(1)
    with pytest.raises(StreamClosedByPeer):
        await far_recv.read()
    async with far_send:
        await far_send.write(b"other way")
    assert await recv.read() == b"other way"


@pytest.mark.parametrize("closer", ["client", "server"])
async def test_lost_session_makes_finish_and_reset_silent(pair, closer):
    """Cleaning up after the session is over needs no care, whoever ended it; writing raises the session's error."""
    streams = [await pair.uni() for _ in range(3)]
    sends = [send for send, _ in streams]
    getattr(pair, closer).close(3)
    await pair.client.wait_closed()
    with pytest.raises(SessionClosedLocally if closer == "client" else SessionClosedByPeer):
        await sends[0].write(b"x")
    await sends[0].finish()
    await sends[0].finish()
    sends[1].reset()
    sends[1].reset()
    async with sends[2]:
        pass


# Contexts


async def test_leaving_the_context_finishes(pair):
    """A clean exit is a FIN, also where there was one."""
    for explicit in (False, True):
        send, recv = await pair.uni()
        async with send as same:
            assert same is send
            await send.write(b"done")
            if explicit:
                await send.finish()
        assert await recv.read() == b"done"


async def test_an_exception_resets(pair):
    """A message that broke off does not look complete: the peer sees a reset with code 0."""
    send, recv = await pair.uni()
    with pytest.raises(KeyError):
        async with send:
            await send.write(b"half")
            raise KeyError
    with pytest.raises(StreamClosedByPeer) as caught:
        await recv.read()
    assert (caught.value.kind, caught.value.code) == ("reset", 0)


async def test_cancellation_resets(pair, parked):
    """A cancelled block is an exception too."""
    send, recv = await pair.uni()

    async def write():
        async with send:
            await send.write(PLENTY)

    writing = await parked(write())
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    with pytest.raises(StreamClosedByPeer):
        await recv.read()


@pytest.mark.parametrize("end", ["reset", "peer's stop", "session"])
async def test_leaving_the_context_of_a_closed_stream(pair, end):
    """The exit says nothing about an end that happened inside."""
    send, recv = await pair.uni()
    async with send:
        match end:
            case "reset":
                send.reset(1)
            case "peer's stop":
                recv.stop(1)
                await send.wait_closed()
            case "session":
                pair.client.close()


async def test_leaving_the_context_stops(pair):
    """A reader that leaves early wants no more: the peer is stopped with code 0."""
    send, recv = await pair.uni()
    await send.write(b"x")
    async with recv as same:
        assert same is recv
        await recv.readexactly(1)
    assert await send.wait_closed() == 0
    with pytest.raises(StreamClosedLocally):
        await recv.read()


async def test_leaving_the_context_after_the_end_stops_nothing(pair):
    """Where EOF was seen there is nothing to stop."""
    send, recv = await pair.uni()
    async with recv:
        await send.finish()
        assert await recv.read() == b""
    assert await recv.read() == b""
    assert await send.wait_closed() is None


async def test_an_exception_stops_pending_reads(pair, parked):
    """An exception in the block interrupts the other readers and stops the peer."""
    send, recv = await pair.uni()
    reading = await parked(recv.read())
    with pytest.raises(KeyError):
        async with recv:
            raise KeyError
    with pytest.raises(StreamClosedLocally):
        await reading
    assert await send.wait_closed() == 0


@pytest.mark.parametrize("end", ["stop", "peer's reset", "session"])
async def test_leaving_the_context_of_a_closed_reader(pair, end):
    """The exit says nothing about an end that happened inside."""
    send, recv = await pair.uni()
    async with recv:
        match end:
            case "stop":
                recv.stop(1)
            case "peer's reset":
                send.reset(1)
                await recv.wait_closed()
            case "session":
                pair.server.close()


# Dropping


async def test_dropped_unfinished_stream_is_reset(pair):
    """A stream that nobody can finish any more is reset with code 0."""
    send, recv = await pair.uni()
    await send.write(b"half")
    del send
    gc.collect()
    with pytest.raises(StreamClosedByPeer) as caught:
        await recv.read()
    assert (caught.value.kind, caught.value.code) == ("reset", 0)


async def test_dropped_finished_stream_is_delivered(pair):
    """After finish a stream needs no reference: all of it arrives."""
    send, recv = await pair.uni()
    data = bytes(1 << 20)
    reading = asyncio.create_task(recv.read())
    await send.write(data)
    await send.finish()
    del send
    gc.collect()
    assert await reading == data


async def test_dropped_unread_stream_is_stopped(pair):
    """A peer whose reader is gone hears of it."""
    send, recv = await pair.uni()
    await send.write(b"for nobody")
    del recv
    gc.collect()
    assert await send.wait_closed() == 0


async def test_send_order(pair):
    """A stream's order in its group is 64 bits, signed; `priority` is the same in 32 bits."""
    group = pair.client.create_send_group()
    send = await pair.client.open_uni(send_group=group, send_order=-5)
    assert (send.send_group, send.send_order, send.priority) == (group, -5, -5)
    for order in (2**63 - 1, -(2**63)):
        send.send_order = order
        assert send.send_order == order
    with pytest.raises(OverflowError, match=rf"^send_order must be at least -2\*\*63 and below 2\*\*63: {2**63}\b"):
        send.send_order = 2**63
    send.send_group = None
    assert send.send_order == -(2**63)
    with pytest.raises(ValueError, match="another session"):
        send.send_group = pair.server.create_send_group()
    assert send.send_group is None


@pytest.mark.deadline(120)
async def test_openers_past_the_limit_are_all_served(make_server, make_client, connect):
    """Many tasks that open streams at once, and more than the peer permits: each gets its own, and none waits for ever."""
    pair = await connect(make_client(), make_server(max_streams=4))

    async def answer():
        async with asyncio.TaskGroup() as calls:
            for _ in range(40 * 20):
                calls.create_task(call(*await pair.server.accept_bi()))

    async def call(send, recv):
        async with send:
            await send.write(await recv.read())

    async def ask(number):
        for _ in range(20):
            send, recv = await pair.client.open_bi()
            async with send:
                await send.write(b"%d" % number)
            assert await recv.read() == b"%d" % number

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer())
        for number in range(40):
            tasks.create_task(ask(number))

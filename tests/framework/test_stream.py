"""Streams: what was written arrives, ends are told apart, and nothing is lost by who gives up waiting."""

import asyncio

import pytest
from pywebtransport import (
    EventType,
    SessionClosedError,
    StreamDirection,
    StreamError,
    StreamState,
    TimeoutError,
    WebTransportBidirectionalStream,
    WebTransportReceiveStream,
    WebTransportSendStream,
    WebTransportStream,
)
from pywebtransport.testing import SessionPair, expecting

PLENTY = bytes(64 << 20)  # more than any window and buffer takes


async def uni(ends: SessionPair) -> tuple[WebTransportSendStream, WebTransportReceiveStream]:
    """A unidirectional stream of the client: its end and the server's."""
    return await ends.client.create_unidirectional_stream(), await ends.server.accept_unidirectional_stream()


# Writing


async def test_write_all_ends_the_stream_unless_told(ends):
    """Its default is to end, write's is not; either can be told."""
    for write in ("write_all", "write"):
        send, recv = await uni(ends)
        await send.write(b"a")
        await send.write_all(b"b", end_stream=False)
        assert send.can_write
        if write == "write_all":
            await send.write_all(b"c")
        else:
            await send.write(data=b"c", end_stream=True)
        assert not send.can_write
        assert await recv.read_all() == b"abc"
        with pytest.raises(StreamError):
            await send.write(b"d")


async def test_64_mib_in_one_call(ends):
    """A write of any size works: it waits for the reader and loses nothing."""
    send, recv = await uni(ends)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send.write_all(PLENTY))
        received = 0
        async for chunk in recv:
            received += len(chunk)
    assert received == len(PLENTY)


async def test_any_buffer_is_taken_and_text_is_not(ends):
    """Whatever has contiguous bytes can be written."""
    send, recv = await uni(ends)
    for data in (b"1", bytearray(b"2"), memoryview(b"3")):
        await send.write(data)
    with pytest.raises(TypeError):
        await send.write("4")
    await send.close()
    assert await recv.read_all() == b"123"


async def test_a_write_times_out(meet, parked):
    """A peer that does not read holds a write back for as long as the configuration allows."""
    ends = await meet(client={"write_timeout": 0.05})
    send, _ = await uni(ends)
    with pytest.raises(TimeoutError, match=r"writing to a stream took longer than 0\.05 s"):
        await send.write(PLENTY)
    await send.reset()


# Reading


async def test_every_way_to_read(ends):
    """Reads return what they promise, one after the other, up to the end."""
    send, recv = await uni(ends)
    await send.write_all(b"one\ntwo;three four")
    assert await recv.readline() == b"one\n"
    assert await recv.readuntil(separator=b";", limit=10) == b"two;"
    assert await recv.readexactly(n=2) == b"th"
    assert await recv.read(max_bytes=3) == b"ree"
    assert await recv.read(max_bytes=0) == b""
    assert [chunk async for chunk in recv] == [b" four"]
    assert await recv.read() == await recv.read_all() == await recv.readline() == b""
    with pytest.raises(StreamError) as caught:
        await recv.readexactly(1)
    assert caught.value.details == {"expected": 1, "partial": b""}


async def test_read_all_is_bounded_if_told(ends):
    """More than the bound is an error that says the bound, and the bytes stay."""
    send, recv = await uni(ends)
    await send.write_all(b"12345")
    with pytest.raises(StreamError) as caught:
        await recv.read_all(max_bytes=4)
    assert caught.value.details == {"limit": 4}
    assert await recv.read_all(5) == b"12345"


async def test_cancelled_and_timed_out_reads_lose_nothing(meet, parked):
    """Whoever gives up a read has taken no byte, in whatever way it was given up."""
    ends = await meet(server={"read_timeout": 0.05})
    send, recv = await uni(ends)
    reading = await parked(recv.readexactly(5))
    await send.write(b"ab")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(TimeoutError, match=r"reading from a stream took longer than 0\.05 s") as caught:
        await recv.readexactly(5)
    assert caught.value.is_retriable
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0.01):
            await recv.read_all()
    await send.write_all(b"cde")
    while recv.diagnostics().bytes_received < 5:
        await asyncio.sleep(0)
    assert await recv.read_all() == b"abcde"


# SessionPair


async def test_directions_and_names(ends):
    """Each class is one direction; the long name of the bidirectional one is the same class."""
    send, recv = await uni(ends)
    ours, theirs = await ends.bi()
    assert [each.direction for each in (send, recv, ours)] == [
        StreamDirection.SEND_ONLY,
        StreamDirection.RECEIVE_ONLY,
        StreamDirection.BIDIRECTIONAL,
    ]
    assert WebTransportBidirectionalStream is WebTransportStream
    assert not isinstance(ours, WebTransportReceiveStream | WebTransportSendStream)
    assert ours.stream_id == theirs.stream_id
    assert (ours.session, theirs.session) == (ends.client, ends.server)
    assert (ours.is_peer_initiated, theirs.is_peer_initiated) == (False, True)


async def test_states_follow_the_life_of_a_stream(ends):
    """A half that ended is told by the state, and a stream of which both ended is closed."""
    ours, theirs = await ends.bi()
    assert (ours.state, theirs.state) == (StreamState.OPEN, StreamState.OPEN)
    await ours.write_all(b"x")
    assert ours.state is StreamState.HALF_CLOSED_LOCAL
    assert await theirs.read_all() == b"x"
    assert theirs.state is StreamState.HALF_CLOSED_REMOTE
    assert (theirs.can_read, theirs.can_write) == (False, True)
    await theirs.write_all(b"y")
    assert (theirs.state, theirs.is_closed) == (StreamState.CLOSED, True)
    assert await ours.read_all() == b"y"
    assert (ours.state, ours.is_closed) == (StreamState.CLOSED, True)


async def test_a_reset_is_seen_by_who_only_writes(ends):
    """The peer's reset shows in the state and comes as an event, without a read."""
    ours, theirs = await ends.bi()
    async with expecting(theirs.events, EventType.STREAM_RESET_RECEIVED) as reset:
        await ours.reset(error_code=7)
    assert reset.data["error_code"] == 7
    assert reset.data["stream_id"] == theirs.stream_id
    assert theirs.state is StreamState.RESET_RECEIVED
    assert (theirs.can_read, theirs.can_write) == (False, True)
    await theirs.write_all(b"still")
    assert await ours.read_all() == b"still"
    with pytest.raises(StreamError) as caught:
        await theirs.read(1)
    assert (caught.value.error_code, caught.value.details) == (7, {"kind": "reset"})
    assert theirs.diagnostics().close_code == 7


async def test_a_stop_is_seen_by_who_only_reads(ends):
    """The peer's STOP_SENDING shows in the state and comes as an event, without a write."""
    ours, theirs = await ends.bi()
    async with expecting(theirs.events, EventType.STOP_SENDING_RECEIVED) as stopped:
        await ours.stop_receiving(error_code=8)
    assert stopped.data["error_code"] == 8
    assert (theirs.can_read, theirs.can_write) == (True, False)
    with pytest.raises(StreamError) as caught:
        await theirs.write(b"x")
    assert (caught.value.error_code, caught.value.details) == (8, {"kind": "stop"})
    with pytest.raises(StreamError):
        await ours.read()


async def test_a_reset_interrupts_a_blocked_write(ends, parked):
    """Who waits to write learns at once that the peer wants no more."""
    ours, theirs = await ends.bi()
    writing = await parked(ours.write(PLENTY))
    await theirs.stop_receiving(9)
    with pytest.raises(StreamError) as caught:
        await writing
    assert caught.value.error_code == 9


async def test_the_end_is_an_event(ends):
    """STREAM_CLOSED comes once both halves are over; whoever waits for another event then gets an error."""
    ours, theirs = await ends.bi()
    closed = asyncio.create_task(ours.events.wait_for(EventType.STREAM_CLOSED))
    reset = asyncio.create_task(ours.events.wait_for(EventType.STREAM_RESET_RECEIVED))
    await asyncio.sleep(0)
    await ours.write_all(b"x")
    await theirs.read_all()
    await theirs.write_all(b"y")
    assert (await closed).data["stream_id"] == ours.stream_id
    with pytest.raises(StreamError, match="is closed"):
        await reset


async def test_leaving_a_block_closes_and_an_error_resets(ends):
    """A clean exit finishes what was written; an exception must not make it look complete."""
    ours, theirs = await ends.bi()
    async with ours:
        await ours.write(b"all")
    assert await theirs.read_all() == b"all"
    assert ours.is_closed
    await ours.close()

    ours, theirs = await ends.bi()
    with pytest.raises(KeyError):
        async with ours:
            await ours.write(b"some")
            raise KeyError
    with pytest.raises(StreamError) as caught:
        await theirs.read_all()
    assert caught.value.error_code == 0


async def test_close_with_a_code_resets(ends):
    """What is closed with a code is not complete, and the peer learns the code in both directions."""
    ours, theirs = await ends.bi()
    await ours.close(error_code=5)
    for call in (theirs.read(), theirs.write(PLENTY)):
        with pytest.raises(StreamError) as caught:
            await call
        assert caught.value.error_code == 5
    assert (ours.state, ours.is_closed) == (StreamState.CLOSED, True)


async def test_the_session_s_end_ends_its_streams(ends, parked):
    """A pending read raises what ended the session, with its code and reason."""
    _, recv = await uni(ends)
    reading = await parked(recv.read())
    await ends.client.close(3, "enough")
    with pytest.raises(SessionClosedError) as caught:
        await reading
    assert (caught.value.error_code, caught.value.reason, caught.value.source) == (3, "enough", "peer")
    assert recv.is_closed


async def test_diagnostics_count_bytes(ends):
    """Figures are per stream, also of what nobody has read yet; they may be awaited."""
    ours, theirs = await ends.bi()
    await ours.write_all(b"12345")
    assert await theirs.readexactly(2) == b"12"
    figures = await theirs.diagnostics()
    assert 2 <= figures.bytes_received == 2 + figures.read_buffer_size <= 5
    assert (figures.bytes_sent, figures.write_buffer_size) == (0, 0)
    assert (figures.state, figures.session_id, figures.closed_at) == (StreamState.OPEN, ends.server.session_id, None)
    assert figures.to_dict()["is_peer_initiated"] is True
    await theirs.write_all(await theirs.read_all())
    assert await ours.read_all() == b"345"
    figures = ours.diagnostics()
    assert (figures.bytes_sent, figures.bytes_received, figures.state) == (5, 3, StreamState.CLOSED)
    assert figures.closed_at is not None

"""Datagrams: queued by the call itself, bounded in size and number, received once and in the order of arrival."""

import asyncio
import gc
import math
import sys
import warnings

import pytest
from web_transport import DatagramTooLargeError, SessionClosedByPeer, SessionClosedLocally, SessionTimeout


async def test_echo(pair):
    """Both directions, and awaiting the call works."""
    await pair.client.send_datagram(b"ping")
    assert await pair.server.receive_datagram() == b"ping"
    await pair.server.send_datagram(b"pong")
    assert await pair.client.receive_datagram() == b"pong"


async def test_the_call_itself_queues(pair):
    """Nothing needs to be awaited, and nothing warns when it is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair.client.send_datagram(b"one")
        pair.client.send_datagram(b"two")
        gc.collect()
    assert [await pair.server.receive_datagram() for _ in range(2)] == [b"one", b"two"]


async def test_the_wait_can_be_awaited_later_and_again(pair):
    """What the call returns is a plain awaitable."""
    sending = pair.client.send_datagram(b"once")
    await sending
    await sending
    await asyncio.wait_for(pair.client.send_datagram(b"twice"), 5)
    assert [await pair.server.receive_datagram() for _ in range(2)] == [b"once", b"twice"]


@pytest.mark.parametrize("data", [b"", bytearray(b"x"), memoryview(b"abcd")[::1], memoryview(bytes(8)).cast("I")], ids=repr)
async def test_any_buffer(pair, data):
    """An empty datagram is one too; whatever has bytes can be sent."""
    await pair.client.send_datagram(data)
    assert await pair.server.receive_datagram() == bytes(data)


async def test_the_data_is_copied(pair):
    """The buffer may be reused at once."""
    buffer = bytearray(b"before")
    pair.client.send_datagram(buffer)
    buffer[:] = b"after!"
    assert await pair.server.receive_datagram() == b"before"


async def test_text_is_a_type_error(pair):
    """Bytes are not guessed from a str; the call itself raises."""
    with pytest.raises(TypeError):
        pair.client.send_datagram("ping")


async def test_exactly_the_maximum_works(pair):
    """max_datagram_size is exact: that many bytes pass, one more does not, and the call itself says so."""
    size = pair.client.max_datagram_size
    assert size > 1000
    pair.client.send_datagram(b"x" * size)
    with pytest.raises(DatagramTooLargeError):
        pair.client.send_datagram(b"x" * (pair.client.max_datagram_size + 1))
    assert await pair.server.receive_datagram() == b"x" * size


async def test_waiting_receivers_are_all_served(pair):
    """Any number of tasks may wait: each gets a datagram of its own."""
    receiving = [asyncio.create_task(pair.server.receive_datagram()) for _ in range(5)]
    await asyncio.sleep(0)
    for index in range(5):
        await pair.client.send_datagram(b"%d" % index)
    assert sorted(await asyncio.gather(*receiving)) == [b"%d" % index for index in range(5)]


async def test_cancelled_receive_loses_nothing(pair, parked):
    """A datagram leaves the queue only when receive_datagram returns it."""
    receiving = await parked(pair.server.receive_datagram())
    receiving.cancel()
    await pair.client.send_datagram(b"kept")
    assert await pair.server.receive_datagram() == b"kept"


async def test_a_flood_is_bounded_and_harms_no_stream(pair):
    """Past the queue's bounds the oldest are dropped; the sender never blocks, and streams go on."""
    for index in range(20_000):
        pair.client.send_datagram(index.to_bytes(4, "big"))
    send, recv = await pair.uni()
    async with send:
        await send.write(b"streams go on")
    assert await recv.read() == b"streams go on"
    indices = []

    async def receive():
        while (data := await pair.server.receive_datagram()) != b"last":
            indices.append(int.from_bytes(data, "big"))

    receiving = asyncio.create_task(receive())
    while not receiving.done():  # the network may lose one
        await pair.client.send_datagram(b"last")
        await asyncio.wait([receiving], timeout=0.05)
    assert indices == sorted(set(indices))
    assert len(indices) < 20_000


@pytest.mark.parametrize("size", [1, 1000])
async def test_every_datagram_of_a_flood_is_accounted_for(pair, size):
    """What was sent is what came, what was dropped, by cause, and what the wire lost, to the last one."""
    client, server = pair.client, pair.server
    client.datagrams.outgoing_max_age = 0.001
    server.datagrams.incoming_max_buffered = 10
    taken = 0

    async def receive():
        nonlocal taken
        async for _ in server.datagrams:
            taken += 1

    receiving = asyncio.create_task(receive())
    bursts = [1, 20, 300, 3000] * 20  # the last is more than the queue holds
    for burst in bursts:
        for _ in range(burst):
            sending = client.send_datagram(bytes(size))
        await sending
    while (sent := client.stats().datagrams).sent + sent.dropped_outgoing + sent.expired_outgoing < sum(bursts):
        await asyncio.sleep(0)
    send, recv = await pair.uni()  # nothing overtakes anything here: what was sent before these bytes is here, or lost
    async with send:
        await send.write(b"all")
    assert await recv.read() == b"all"

    out, came = client.stats(), server.stats()
    assert out.datagrams.sent + out.datagrams.dropped_outgoing + out.datagrams.expired_outgoing == sum(bursts)
    assert out.datagram_frames_sent == out.datagrams.sent
    lost = out.datagram_frames_sent - came.datagram_frames_received
    assert lost >= 0
    while lost and not client.stats().packets_lost:  # which is noticed only when what follows has been acknowledged
        await asyncio.sleep(0.001)
    assert came.datagram_frames_received == came.datagrams.received
    assert min(out.datagrams.dropped_outgoing + out.datagrams.expired_outgoing, came.datagrams.dropped_incoming) > 0
    client.close()
    await receiving
    assert taken == came.datagrams.received - came.datagrams.dropped_incoming


async def test_figures_are_those_of_now(pair):
    """Who asks is told what has left by then, without having to ask again."""
    await pair.server.send_datagram(b"hello")
    assert await pair.client.receive_datagram() == b"hello"
    stats = pair.client.stats()
    assert (stats.datagrams.received, stats.datagram_frames_received) == (1, 1)


async def test_what_the_end_leaves_behind_is_counted(pair):
    """Datagrams that wait when the session is closed are dropped, and said to be."""
    for _ in range(1000):
        pair.client.send_datagram(b"late")
    pair.client.close()
    await pair.client.wait_closed()
    figures = pair.client.stats().datagrams
    assert figures.sent + figures.dropped_outgoing == 1000


async def test_awaiting_paces_the_sender(pair):
    """Whoever awaits each datagram does not outrun the network: others get their turn."""
    received = 0

    async def receive():
        nonlocal received
        while await pair.server.receive_datagram() != b"last":
            received += 1

    receiving = asyncio.create_task(receive())
    for _ in range(5_000):
        await pair.client.send_datagram(b"x" * 1000)
    while not receiving.done():
        await pair.client.send_datagram(b"last")
        await asyncio.wait([receiving], timeout=0.05)
    assert received > 0


async def test_datagrams_after_the_end(pair, parked):
    """A closed session neither sends nor receives, not even what had arrived; waiting calls are interrupted."""
    await pair.client.send_datagram(b"late")
    receiving = await parked(pair.client.receive_datagram())
    pair.server.close(3, "done")
    with pytest.raises(SessionClosedLocally):
        pair.server.send_datagram(b"x")
    with pytest.raises(SessionClosedLocally):
        await pair.server.receive_datagram()
    with pytest.raises(SessionClosedByPeer):
        await receiving
    with pytest.raises(SessionClosedByPeer):
        pair.client.send_datagram(b"x")


async def test_iteration(pair):
    """A loop receives what receive_datagram would, and ends when the peer closes the session."""
    for index in range(3):
        await pair.client.send_datagram(b"%d" % index)
    assert await pair.server.receive_datagram() == b"0"
    received = []
    async for data in pair.server.datagrams:
        received.append(data)
        if len(received) == 2:
            pair.client.close(7)
    assert received == [b"1", b"2"]
    assert pair.server.close_reason.code == 7
    assert [data async for data in pair.server.datagrams] == []


async def test_iteration_ends_with_our_own_close(pair, parked):
    """Closing the session ends the loops over its datagrams, also one that waits."""

    async def loop():
        return [data async for data in pair.client.datagrams]

    waiting = await parked(loop())
    pair.client.close()
    assert await waiting == []


async def test_iteration_raises_what_is_no_close(make_client, make_server, connect, parked):
    """A session that got lost is no finished loop."""
    client, server = make_client(max_idle_timeout=1), make_server()
    pair = await connect(client, server)
    with pytest.raises(SessionTimeout):
        await anext(pair.client.datagrams)
    pair = await connect(make_client(), server)
    waiting = await parked(anext(pair.client.datagrams))
    server.close(5, "gone")
    with pytest.raises(SessionClosedByPeer) as caught:
        await waiting
    assert caught.value.source == "application"


async def test_limits_by_default(pair):
    """What the W3C leaves to us; one object for each session."""
    datagrams = pair.client.datagrams
    assert datagrams is pair.client.datagrams
    assert (datagrams.incoming_max_age, datagrams.outgoing_max_age) == (None, None)
    assert (datagrams.incoming_max_buffered, datagrams.outgoing_max_buffered) == (1024, 1024)
    assert (datagrams.incoming_policy, datagrams.outgoing_policy) == ("drop-oldest", "drop-oldest")


async def test_a_misspelt_limit_is_an_error(pair):
    """It would be no limit."""
    with pytest.raises(AttributeError, match="outgoing_max_buffer"):
        pair.client.datagrams.outgoing_max_buffer = 3


@pytest.mark.parametrize("way", ["incoming", "outgoing"])
async def test_limits_are_checked_and_kept(pair, way):
    """Ages are seconds, not negative, and 0 is none; a queue holds at least one; each is set without the others."""
    datagrams = pair.client.datagrams
    for age, kept in ((0.25, 0.25), (0, None), (3, 3.0), (math.inf, None), (1e300, None), (None, None), (2.5, 2.5)):
        setattr(datagrams, f"{way}_max_age", age)
        assert getattr(datagrams, f"{way}_max_age") == kept
    for wrong in (-1, -0.001, math.nan, -math.inf):
        with pytest.raises(ValueError, match="age"):
            setattr(datagrams, f"{way}_max_age", wrong)
    for buffered, kept in ((5, 5), (0, 1), (-3, 1), (2**70, sys.maxsize), (7, 7)):
        setattr(datagrams, f"{way}_max_buffered", buffered)
        assert getattr(datagrams, f"{way}_max_buffered") == kept
    setattr(datagrams, f"{way}_policy", "drop-newest")
    with pytest.raises(ValueError, match="policy"):
        setattr(datagrams, f"{way}_policy", "drop-random")
    assert [getattr(datagrams, f"{way}_{name}") for name in ("max_age", "max_buffered", "policy")] == [2.5, 7, "drop-newest"]
    other = {"incoming": "outgoing", "outgoing": "incoming"}[way]
    assert [getattr(datagrams, f"{other}_{name}") for name in ("max_age", "max_buffered", "policy")] == [None, 1024, "drop-oldest"]


async def arrived(pair, data):
    """Send *data* as datagrams, and return once all are in the server's queue or were dropped from it."""
    before = pair.server.stats().datagrams.received
    for datagram in data:
        await pair.client.send_datagram(datagram)
    while pair.server.stats().datagrams.received < before + len(data):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("policy", "kept"), [("drop-oldest", [b"3", b"4"]), ("drop-newest", [b"0", b"1"])])
async def test_incoming_limit_and_policy(pair, policy, kept):
    """Past the limit the oldest or the newest is dropped, and counted."""
    pair.server.datagrams.incoming_max_buffered = 2
    pair.server.datagrams.incoming_policy = policy
    await arrived(pair, [b"%d" % index for index in range(5)])
    assert [await pair.server.receive_datagram() for _ in kept] == kept
    assert pair.server.stats().datagrams.dropped_incoming == 3


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
async def test_outgoing_limit_and_policy(pair, policy):
    """The mark is where awaiting begins to wait, twice the mark where one is dropped, whichever; all are accounted for."""
    datagrams = pair.client.datagrams
    datagrams.outgoing_max_buffered, datagrams.outgoing_policy = 1, policy
    sent = 100_000  # at once, so that the network cannot carry all of them away
    for index in range(sent):
        last = pair.client.send_datagram(index.to_bytes(4, "big"))
    await last
    stats = pair.client.stats().datagrams
    assert stats.dropped_outgoing > 0
    assert stats.sent + stats.dropped_outgoing in range(sent - 2, sent + 1)
    datagrams.outgoing_policy = "drop-oldest"
    await pair.client.send_datagram(b"end")
    indices = [int.from_bytes(data, "big") for data in [await pair.server.receive_datagram() for _ in range(2)]]
    assert indices == sorted(indices)


async def test_incoming_max_age(pair):
    """What has waited for too long is not received, but counted; what came later is."""
    await arrived(pair, [b"old"])
    pair.server.datagrams.incoming_max_age = 1
    await asyncio.sleep(1.1)  # that is what is tested: it grows too old
    await pair.client.send_datagram(b"young")
    assert await pair.server.receive_datagram() == b"young"
    assert pair.server.stats().datagrams.expired_incoming == 1

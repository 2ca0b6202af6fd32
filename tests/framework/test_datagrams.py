"""Datagrams: they wait until somebody asks, receivers or listeners, and cost nothing where nobody does."""

import asyncio

import pytest
from pywebtransport import EventType, TimeoutError


async def test_they_go_both_ways_under_every_name(ends):
    """send_datagram and datagrams.send are the same, and so are read_datagram and datagrams.receive."""
    datagrams = await ends.server.datagrams  # awaited, as older code does
    await ends.client.send_datagram(data=b"1")
    await ends.client.datagrams.send(bytearray(b"2"))
    await ends.client.datagrams.send(b"")
    assert [await ends.server.read_datagram(), await datagrams.receive(), await datagrams.receive()] == [b"1", b"2", b""]
    await datagrams.send(b"back")
    assert await ends.client.datagrams.receive() == b"back"


async def test_try_receive_does_not_wait(ends):
    """It gives what is there, or None, and never waits for more."""
    assert await ends.server.datagrams.try_receive() is None
    await ends.client.send_datagram(b"1")
    await ends.client.send_datagram(b"2")
    assert await ends.server.read_datagram() == b"1"
    async with asyncio.timeout(5):
        while (data := await ends.server.datagrams.try_receive()) is None:
            await asyncio.sleep(0)
    assert data == b"2"


async def test_without_listeners_they_wait_in_the_transport(ends):
    """Nothing takes them before somebody listens; then the listener gets all that waited, in order."""
    for number in range(5):
        await ends.client.send_datagram(bytes([number]))
    stream, theirs = await ends.bi()  # opened behind them: they have arrived
    await stream.write_all(b"x")
    await theirs.read_all()
    seen, done = [], asyncio.Event()

    def handler(event):
        seen.append(event.data["data"])
        if len(seen) == 5:
            done.set()

    ends.server.events.on(event_type=EventType.DATAGRAM_RECEIVED, handler=handler)
    await done.wait()
    assert seen == [bytes([number]) for number in range(5)]


async def test_listeners_get_all_and_receive_none(ends, parked):
    """While somebody listens `receive` waits, and goes on with the next datagram when nobody does any more."""
    events, seen = ends.server.events, asyncio.Queue()

    async def handler(event):
        await seen.put(event.data["data"])

    events.on(EventType.DATAGRAM_RECEIVED, handler)
    receiving = await parked(ends.server.read_datagram())
    for number in range(200):  # several at a time, so that there would be some for both
        await ends.client.send_datagram(bytes([number]))
    assert [await seen.get() for _ in range(200)] == [bytes([number]) for number in range(200)]
    assert not receiving.done()
    events.off(EventType.DATAGRAM_RECEIVED, handler)
    await ends.client.send_datagram(b"3")
    assert await receiving == b"3"
    assert seen.empty()


async def test_slow_listeners_keep_what_waits_for_them(ends):
    """While as many handlers run as may, datagrams wait in the transport, and are still the listeners'."""
    gate, full, seen = asyncio.Event(), asyncio.Event(), []

    async def slow(event):
        seen.append(event.data["data"])
        if len(seen) == 256:
            full.set()
        await gate.wait()

    ends.server.events.on(EventType.DATAGRAM_RECEIVED, slow)
    for _ in range(300):
        await ends.client.send_datagram(b"x")
    await full.wait()
    stream, theirs = await ends.bi()  # opened behind them: they have arrived
    await stream.write_all(b"x")
    await theirs.read_all()
    assert len(seen) == 256
    assert await ends.server.datagrams.try_receive() is None
    gate.set()
    while len(seen) < 300:
        await asyncio.sleep(0)


async def test_wait_for_takes_one_datagram_each(ends):
    """An event that is waited for takes no other datagram along: the next call gets that."""
    for number in range(3):
        await ends.client.send_datagram(bytes([number]))
    for number in range(3):
        event = await ends.server.events.wait_for(event_type=EventType.DATAGRAM_RECEIVED)
        assert event.data["data"] == bytes([number])
    with pytest.raises(TimeoutError):
        await ends.server.events.wait_for(EventType.DATAGRAM_RECEIVED, timeout=0.01)
    await ends.client.send_datagram(b"receive")
    assert await ends.server.datagrams.receive() == b"receive"


async def test_listening_before_the_session_is_accepted(serve, make_client):
    """Listeners may come before there is anything to hear."""
    from tests.framework.meeting import requested, url_of

    server, client = await serve(), make_client()
    connecting = asyncio.create_task(client.connect(url_of(server)))
    session = await requested(server)
    waiting = asyncio.create_task(session.events.wait_for(EventType.DATAGRAM_RECEIVED))
    await asyncio.sleep(0)
    await session.accept()
    await (await connecting).send_datagram(b"x")
    assert (await waiting).data["data"] == b"x"


async def test_any_event_is_no_wish_for_datagrams(ends):
    """A handler of all events hears what is emitted, and takes nothing from receivers."""
    ends.server.events.on_any(lambda event: None)
    await ends.client.send_datagram(b"mine")
    assert await ends.server.read_datagram() == b"mine"


async def test_receiving_times_out_and_loses_nothing(meet):
    """The read time-out is for datagrams too."""
    ends = await meet(server={"read_timeout": 0.05})
    with pytest.raises(TimeoutError, match="receiving a datagram took longer"):
        await ends.server.read_datagram()
    await ends.client.send_datagram(b"late")
    while not ends.server.diagnostics().datagrams_received:
        await asyncio.sleep(0)
    assert await ends.server.read_datagram() == b"late"


async def test_drops_are_counted(ends):
    """Datagrams that nobody receives are bounded in number, and counted when they go."""
    assert ends.server.datagrams.dropped_incoming == ends.server.datagrams.dropped_outgoing == 0
    for _ in range(3000):
        await ends.client.send_datagram(b"x")
    assert await ends.server.read_datagram() == b"x"
    async with asyncio.timeout(10):
        while not ends.server.diagnostics().datagrams_dropped_incoming:
            await ends.client.send_datagram(b"x")
            await asyncio.sleep(0)

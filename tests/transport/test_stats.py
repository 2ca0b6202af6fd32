"""Statistics: figures of one moment that add up, and stay after the end."""

import asyncio
import dataclasses

import pytest
from web_transport import ConnectError, DatagramStats, SessionRejected


async def test_stream_bytes(pair):
    """What was written is sent, acknowledged, received and read, and each figure says only what is known."""
    send, recv = await pair.uni()
    assert dataclasses.astuple(send.stats()) == (0, 0, 0)
    assert dataclasses.astuple(recv.stats()) == (0, 0)
    await send.write(b"x" * 1000)
    assert send.stats().bytes_written == 1000
    assert await recv.readexactly(300) == b"x" * 300
    assert dataclasses.astuple(recv.stats()) == (1000, 300)
    await send.finish()
    assert await send.wait_closed() is None
    assert dataclasses.astuple(send.stats()) == (1000, 1000, 1000)
    pair.client.close()
    pair.server.close()
    assert dataclasses.astuple(send.stats()) == (1000, 1000, 1000)
    assert recv.stats().bytes_read == 300


async def test_a_cancelled_write_says_how_much_it_queued(pair):
    """bytes_written is the way to learn which prefix of a cancelled write will arrive."""
    send, recv = await pair.uni()
    writing = asyncio.create_task(send.write(b"x" * (64 << 20)))
    while send.stats().bytes_written == 0:
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    written = send.stats().bytes_written
    assert 0 < written < 64 << 20
    assert send.stats().bytes_acknowledged is None
    await send.finish()
    assert len(await recv.read()) == written


async def test_figures_are_frozen(pair):
    """They are of one moment: nobody changes them."""
    send, _ = await pair.uni()
    with pytest.raises(dataclasses.FrozenInstanceError):
        send.stats().bytes_written = 1


async def until(condition):
    """Poll: figures are published behind the packets that changed them."""
    while not condition():
        await asyncio.sleep(0.001)


async def test_session_figures(pair):
    """Everything is counted, in its unit."""
    send, recv = await pair.uni()
    async with send:
        await send.write(b"x" * 100_000)
    assert len(await recv.read()) == 100_000
    assert await send.wait_closed() is None
    await until(lambda: pair.client.stats().bytes_acknowledged > 100_000)
    await until(lambda: pair.server.stats().bytes_received > 100_000)
    stats = pair.client.stats()
    assert stats.bytes_sent == 100_000
    assert 0 < stats.bytes_sent_overhead < 100_000
    assert stats.bytes_acknowledged <= stats.bytes_sent + stats.bytes_sent_overhead
    assert stats.packets_received > 0
    assert 0 <= stats.packets_lost <= stats.packets_sent
    assert 0 < stats.min_rtt <= stats.smoothed_rtt
    assert stats.rtt_variation > 0
    assert stats.estimated_send_rate == pytest.approx(8 * stats.congestion_window / stats.smoothed_rtt, rel=0.01)
    assert 1200 <= stats.mtu <= 65_527
    assert isinstance(stats.at_send_capacity, bool)
    assert isinstance(stats.ecn, bool)
    assert pair.server.stats().bytes_sent == 0


async def test_datagrams_are_counted(pair):
    """On both sides; what got lost on the way nobody knows."""
    for _ in range(10):
        await pair.client.send_datagram(b"x" * 100)
        assert len(await pair.server.receive_datagram()) == 100
    await until(lambda: pair.client.stats().datagrams.sent == 10)
    assert pair.client.stats().datagrams == DatagramStats(
        sent=10, received=0, dropped_outgoing=0, dropped_incoming=0, expired_outgoing=0, expired_incoming=0, lost_outgoing=None
    )
    assert pair.server.stats().datagrams.received == 10
    await until(lambda: pair.client.stats().bytes_sent == 1000)


async def test_session_figures_after_the_end(pair):
    """The last ones stay, on the side that closed and on the other."""
    await pair.client.send_datagram(b"x")
    assert await pair.server.receive_datagram() == b"x"
    await until(lambda: pair.client.stats().datagrams.sent == 1)
    pair.client.close()
    await pair.server.wait_closed()
    await pair.client.wait_closed()
    assert pair.client.stats().bytes_sent == 1
    assert pair.client.stats().datagrams.sent == 1
    assert pair.client.stats().smoothed_rtt > 0
    assert pair.server.stats().datagrams.received == 1
    assert pair.server.stats().bytes_received > 1000


async def test_endpoint_counts(make_client, make_server, connect):
    """What there is now, and what there has been, on both sides."""
    client, server = make_client(), make_server()
    assert set(dataclasses.astuple(client.stats())) == {0}
    pair = await connect(client, server)
    stream = await pair.uni()  # dropped, it would end
    for endpoint in (client, server):
        await until(lambda endpoint=endpoint: endpoint.stats().streams == 1)
        stats = endpoint.stats()
        assert (stats.connections, stats.sessions, stats.connecting) == (1, 1, 0)
        assert (stats.connections_established, stats.connections_refused, stats.handshakes_failed) == (1, 0, 0)
        assert (stats.sessions_accepted, stats.sessions_rejected) == (1, 0)
        assert stats.packets_sent > 2
        assert stats.bytes_received > 1200
    del stream

    connecting = asyncio.create_task(client.connect(f"https://127.0.0.1:{server.local_addr[1]}/"))
    request = await server.accept()
    assert client.stats().connecting == 1
    await request.reject(403)
    with pytest.raises(SessionRejected):
        await connecting
    await until(lambda: client.stats().sessions_rejected == server.stats().sessions_rejected == 1)

    async with server, client:
        pass
    for endpoint in (client, server):
        stats = endpoint.stats()
        assert (stats.connections, stats.sessions, stats.streams, stats.connecting) == (0, 0, 0, 0)
        assert (stats.connections_established, stats.sessions_accepted, stats.sessions_rejected) == (2, 1, 1)


async def test_failed_handshakes_are_counted(make_client, make_server):
    """A client that trusts another certificate establishes nothing."""
    client, server = make_client(server_certificate_hashes=[bytes(32)]), make_server()
    with pytest.raises(ConnectError):
        await client.connect(f"https://127.0.0.1:{server.local_addr[1]}/")
    await until(lambda: client.stats().handshakes_failed == 1)
    await until(lambda: server.stats().handshakes_failed == 1)
    assert client.stats().connections_established == server.stats().sessions_accepted == 0

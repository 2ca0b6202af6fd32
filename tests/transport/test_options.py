"""Options of servers and clients: what is out of range is refused before anything is bound, and limits limit."""

import asyncio
import inspect
import math
import socket

import pytest
from web_transport import Client, ConnectError, Server, SessionRejected

# The least and the most, by name; both are fine, and what lies beyond is not
COUNTS = {
    "max_streams": (1, 2**24),
    "max_pending_streams": (0, 2**24),
    "max_pending_datagrams": (0, 2**24),
    "max_header_bytes": (1024, 2**24),
    "stream_receive_window": (1, 2**62 - 1),
    "session_receive_window": (1, 2**32 - 1),
    "receive_window": (1, 2**62 - 1),
    "send_window": (1, 2**62 - 1),
}
SERVER_COUNTS = {
    "max_connections": (1, 2**24),
    "max_pending_handshakes": (1, 2**24),
    "max_sessions": (1, 2**24),
    "max_sessions_without_flow_control": (1, 2**24),
}


@pytest.mark.parametrize(("name", "least", "most"), [(name, *bounds) for name, bounds in {**COUNTS, **SERVER_COUNTS}.items()])
def test_counts_have_bounds(make_server, make_client, name, least, most):
    """Negative, zero where nothing would work, too large for QUIC: a ValueError that names the option; what is no int: TypeError."""
    for make in (make_server, make_client) if name in COUNTS else (make_server,):
        make(**{name: least})
        make(**{name: most})
        for bad in (least - 1, most + 1, -1, 2**62, 2**64, 2**200, -(2**200)):
            with pytest.raises(ValueError, match=name):
                make(**{name: bad})
        for bad in (1.0, math.nan, "1", None):
            with pytest.raises(TypeError, match=name):
                make(**{name: bad})


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 1e300, None])
def test_a_request_has_a_time_limit(make_server, seconds):
    """A request that may take forever would hold its place forever."""
    with pytest.raises(ValueError, match="request_timeout"):
        make_server(request_timeout=seconds)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 1e300, None])
def test_what_comes_early_has_a_time_limit(make_server, make_client, seconds):
    """What waits for a session that never comes would wait forever."""
    for make in (make_server, make_client):
        make(pending_timeout=0.5)
        with pytest.raises(ValueError, match="pending_timeout"):
            make(pending_timeout=seconds)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_a_delay_between_attempts_is_a_number_of_seconds(make_client, seconds):
    """None at all means that all addresses are tried at once."""
    make_client(connection_attempt_delay=0)
    with pytest.raises(ValueError, match="connection_attempt_delay"):
        make_client(connection_attempt_delay=seconds)


@pytest.mark.parametrize("option", ["congestion_control", "retry"])
def test_choices_are_named(make_server, option):
    """An unknown word is answered with those that there are."""
    with pytest.raises(ValueError, match=f'{option} must be one of "'):
        make_server(**{option: "sometimes"})


def test_options_are_checked_before_binding(certificate):
    """A bad option is the first thing to complain about, even where the address is in use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="max_streams"):
            Server(
                certificate_chain=[certificate[0]],
                private_key=certificate[1],
                bind=f"127.0.0.1:{other.getsockname()[1]}",
                max_streams=0,
            )


@pytest.mark.parametrize("endpoint", [Server, Client])
def test_unknown_options_are_type_errors(endpoint, certificate):
    """Python's own signatures say what there is, and docstrings what it means."""
    with pytest.raises(TypeError, match="max_cats"):
        endpoint(max_cats=9)
    for name in list(inspect.signature(endpoint).parameters):
        assert f" {name}: " in endpoint.__doc__


async def test_connections_beyond_the_limit_are_refused(make_server, make_client, connect):
    """A server with room for one connection takes another once the first has gone."""
    server = make_server(max_connections=1)
    client = make_client()
    pair = await connect(client, server)
    with pytest.raises(ConnectError, match="refused"):
        await make_client().connect(f"https://127.0.0.1:{server.local_addr[1]}/")
    client.close()
    await pair.server.wait_closed()
    await connect(make_client(), server)


@pytest.mark.parametrize("retry", ["never", "load", "always"])
async def test_retry_lets_clients_in(make_server, make_client, connect, retry):
    """RFC 9000 §8.1.2: a client that answers a Retry is served like any other, on the threshold of every kind of server."""
    server = make_server(retry=retry, max_pending_handshakes=1)
    pair = await connect(make_client(), server)
    send, recv = await pair.uni()
    async with send:
        await send.write(b"hello")
    assert await recv.read() == b"hello"


async def test_streams_beyond_the_limit_wait(make_server, make_client, connect, parked):
    """`max_streams` is what a peer may have open; the next opens when one has ended."""
    pair = await connect(make_client(), make_server(max_streams=1))
    open_streams = []
    while True:
        opening = asyncio.create_task(pair.client.open_uni())
        done, _ = await asyncio.wait([opening], timeout=0.2)
        if not done:
            break
        open_streams.append(opening.result())
    assert 0 < len(open_streams) < 16
    for send in open_streams:
        await send.finish()
        recv = await pair.server.accept_uni()
        assert await recv.read() == b""
    await opening


async def test_windows_hold_writers_back(make_server, make_client, connect):
    """Nobody reads: no more is on its way than windows and buffers allow, whatever the writer would like."""
    options = {"stream_receive_window": 64 * 1024, "send_window": 64 * 1024}
    pair = await connect(make_client(**options), make_server(**options))
    send, recv = await pair.uni()
    writing = asyncio.create_task(send.write(bytes(8 * 1024 * 1024)))
    done, _ = await asyncio.wait([writing], timeout=0.2)
    assert not done
    received = 0
    while received < 8 * 1024 * 1024:
        received += len(await recv.read(1024 * 1024))
    await writing


async def test_long_headers_are_refused(make_server, client):
    """RFC 9114 §4.2.2: a request with more header bytes than the server takes is answered with 431, a vast one with the end."""
    server = make_server(max_header_bytes=1024)
    with pytest.raises(SessionRejected) as caught:
        await client.connect(f"https://127.0.0.1:{server.local_addr[1]}/{'x' * 900}")
    assert caught.value.status_code == 431
    with pytest.raises(ConnectError, match="H3_EXCESSIVE_LOAD"):
        await client.connect(f"https://127.0.0.1:{server.local_addr[1]}/{'x' * 4096}")

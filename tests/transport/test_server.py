"""Servers: what their constructor checks, how requests are served and answered, and how a server ends."""

import asyncio
import gc
import math
import socket

import pytest
import web_transport
from web_transport import Client, ConnectError, Server, SessionClosedByPeer, SessionClosedLocally, SessionError, SessionRejected


def test_constructor_binds_without_a_loop(certificate):
    """The socket is bound once the constructor returns; there need not be an event loop yet."""
    server = Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0")
    host, port = server.local_addr
    assert type(server.local_addr) is tuple
    assert host == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    server.close()


@pytest.mark.parametrize("bind", ["localhost:4433", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x", "::1:4433", "", "192.0.2.1:0"])
def test_bind_is_an_address_of_this_machine(certificate, bind):
    """A name, a missing or impossible port, or an address of another machine: there is nothing to bind."""
    with pytest.raises(ValueError, match="bind"):
        Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind=bind)


def test_address_in_use_is_an_error(certificate):
    """Two servers cannot share a port, and the second hears of it at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="in use"):
            Server(
                certificate_chain=[certificate[0]],
                private_key=certificate[1],
                bind=f"127.0.0.1:{other.getsockname()[1]}",
            )


def test_certificate_and_key_are_checked(certificate):
    """No chain, no certificate, no key, or the key of another certificate: the server could serve nobody."""
    chain, key = [certificate[0]], certificate[1]
    other_key = web_transport.generate_self_signed(["localhost"])[1]
    for bad_chain, bad_key in [
        ([], key),
        ([b"garbage"], key),
        ([b""], key),
        (chain, b"garbage"),
        (chain, b""),
        (chain, other_key),
    ]:
        with pytest.raises(ValueError, match="certificate|key"):
            Server(certificate_chain=bad_chain, private_key=bad_key, bind="127.0.0.1:0")


def test_one_certificate_is_no_chain(certificate, make_server):
    """Bytes where a list of them belongs: the error says so."""
    with pytest.raises(TypeError, match="certificate_chain must be a list of bytes"):
        Server(certificate_chain=certificate[0], private_key=certificate[1], bind="127.0.0.1:0")
    with pytest.raises(TypeError, match="certificate_chain must be a list of bytes"):
        make_server().reload_certificates(certificate[0], certificate[1])


def test_congestion_control_is_checked_before_binding(certificate):
    """An unknown name is the first thing to complain about, even where the address is in use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="congestion_control"):
            Server(
                certificate_chain=[certificate[0]],
                private_key=certificate[1],
                bind=f"127.0.0.1:{other.getsockname()[1]}",
                congestion_control="fast",
            )


@pytest.mark.parametrize("option", ["max_idle_timeout", "keep_alive_interval"])
@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, -math.inf, 1e300])
def test_timeouts_are_finite_and_not_negative(certificate, option, seconds):
    """A time-out that QUIC cannot express is refused."""
    with pytest.raises(ValueError, match=option):
        Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0", **{option: seconds})


@pytest.mark.parametrize("options", [{"max_idle_timeout": 0}, {"max_idle_timeout": None}, {"keep_alive_interval": 5}])
@pytest.mark.parametrize("congestion_control", ["default", "throughput", "low_latency"])
async def test_options_that_work(make_server, make_client, connect, options, congestion_control):
    """Every congestion controller connects; a time-out of 0 or None is none."""
    options = {"congestion_control": congestion_control, **options}
    pair = await connect(make_client(**options), make_server(**options))
    send, recv = await pair.uni()
    async with send:
        await send.write(b"hello")
    assert await recv.read() == b"hello"


async def test_request_tells_url_and_client(server, client):
    """The URL is normalised, with path and query as sent."""
    port = server.local_addr[1]
    for path, expected in [("", "/"), ("/", "/"), ("/chat?room=1&x=%20", "/chat?room=1&x=%20"), ("?q", "/?q")]:
        connecting = asyncio.create_task(client.connect(f"https://LOCALHOST:{port}{path}"))
        request = await server.accept()
        assert request.url == f"https://localhost:{port}{expected}"
        host, _ = request.remote_address
        assert type(request.remote_address) is tuple
        assert host == "127.0.0.1"
        await request.accept()
        await connecting


async def test_default_port_is_not_part_of_the_url(make_server, client):
    """https://localhost and https://localhost:443/ are the same."""
    try:
        server = make_server(bind="127.0.0.1:443")
    except ValueError as error:
        pytest.skip(f"port 443: {error}")
    connecting = asyncio.create_task(client.connect("https://127.0.0.1"))
    request = await server.accept()
    assert request.url == "https://127.0.0.1/"
    await request.accept()
    await connecting


async def test_waiting_accepts_are_all_served(server, client, url):
    """Any number of tasks may wait in accept: each gets a request of its own."""
    accepting = [asyncio.create_task(server.accept()) for _ in range(5)]
    connecting = [asyncio.create_task(client.connect(f"{url}{i}")) for i in range(5)]
    requests = await asyncio.gather(*accepting)
    assert {request.url for request in requests} == {f"{url}{i}" for i in range(5)}
    for request in requests:
        await request.accept()
    await asyncio.gather(*connecting)


async def test_cancelled_accept_loses_no_request(server, client, url, parked):
    """A request leaves the queue only when accept returns it."""
    accepting = await parked(server.accept())
    connecting = asyncio.create_task(client.connect(url))
    accepting.cancel()
    request = await server.accept()
    await request.accept()
    await connecting


async def test_handshakes_need_no_accept(server, make_client, client, url):
    """A connection is made, or refused, while nobody awaits accept."""
    with pytest.raises(ConnectError):
        await make_client(server_certificate_hashes=[]).connect(url)
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    await request.accept()
    await connecting


async def test_iteration_ends_when_the_server_is_closed(server, client, url):
    """`async for` gives requests until close, and then ends without an error."""
    seen = []

    async def serve():
        async for request in server:
            seen.append(await request.accept())

    serving = asyncio.create_task(serve())
    await client.connect(url)
    server.close()
    await serving
    assert len(seen) == 1


async def test_accept_gives_none_once_closed(server, parked):
    """Every waiting accept ends with None, and every later one."""
    waiting = [await parked(server.accept()) for _ in range(3)]
    server.close()
    assert await asyncio.gather(*waiting) == [None] * 3
    assert await server.accept() is None


async def test_close_tells_every_client(pair, server):
    """CONNECTION_CLOSE carries code and reason as they are; here, calls raise SessionClosedLocally."""
    server.close(2**62 - 1, "good night")
    await pair.client.wait_closed()
    error = pair.client.close_reason
    assert isinstance(error, SessionClosedByPeer)
    assert (error.source, error.code, error.reason) == ("application", 2**62 - 1, "good night")
    with pytest.raises(SessionClosedLocally):
        await pair.server.open_bi()


async def test_close_is_idempotent(pair, server, client):
    """The first close counts, and its end can be waited for again and again."""
    server.close(1, "first")
    server.close(2, "second")
    await server.wait_closed()
    await server.wait_closed()
    await pair.client.wait_closed()
    assert pair.client.close_reason.code == 1


@pytest.mark.parametrize("code", [2**62, 2**64, -1])
async def test_close_code_fits_in_a_varint(server, code):
    """RFC 9000 §16: 62 bits; a code that does not fit closes nothing."""
    with pytest.raises(ValueError, match="code"):
        server.close(code)
    waiting = asyncio.create_task(server.accept())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_leaving_the_context_closes(certificate, make_client, connect):
    """`async with` closes with code 0 and waits until the connections are gone."""
    async with Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0") as server:
        pair = await connect(make_client(), server)
    assert await server.accept() is None
    await pair.client.wait_closed()
    assert (pair.client.close_reason.source, pair.client.close_reason.code) == ("application", 0)


async def test_port_is_free_after_the_end(make_server):
    """Once wait_closed returns, the address can be bound again."""
    server = make_server()
    port = server.local_addr[1]
    server.close()
    await server.wait_closed()
    assert make_server(bind=f"127.0.0.1:{port}").local_addr[1] == port


async def test_reloaded_certificates_serve_new_connections(pair, server, make_client, connect):
    """New connections see the new certificate; sessions go on."""
    certificate, key = web_transport.generate_self_signed(["localhost"])
    server.reload_certificates([certificate], key)
    new = make_client(server_certificate_hashes=[web_transport.certificate_hash(certificate)])
    await connect(new, server)
    send, recv = await pair.uni()
    async with send:
        await send.write(b"still here")
    assert await recv.read() == b"still here"


async def test_reload_keeps_the_old_certificate_on_error(server, client, connect):
    """A certificate and key that do not fit change nothing."""
    certificate, _ = web_transport.generate_self_signed(["localhost"])
    _, key = web_transport.generate_self_signed(["localhost"])
    for chain in ([certificate], [], [b"garbage"]):
        with pytest.raises(ValueError, match="certificate|key"):
            server.reload_certificates(chain, key)
    await connect(client, server)


async def test_reject_gives_the_client_the_status(server, client, url):
    """The client sees which HTTP status it was; by default 404."""
    for arguments, status in [((), 404), ((403,), 403), ((429,), 429), ((503,), 503), ((302,), 302)]:
        connecting = asyncio.create_task(client.connect(url))
        request = await server.accept()
        await request.reject(*arguments)
        with pytest.raises(SessionRejected) as caught:
            await connecting
        assert caught.value.status_code == status


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 200, 1000, 2**40])
async def test_reject_takes_only_a_status_that_refuses(server, client, url, status):
    """What is no HTTP status, or would not refuse, is a ValueError, and the request can still be answered."""
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    with pytest.raises(ValueError, match="status"):
        await request.reject(status)
    await request.accept()
    await connecting


@pytest.mark.parametrize("first", ["accept", "reject"])
@pytest.mark.parametrize("second", ["accept", "reject"])
async def test_a_request_is_answered_once(server, client, url, first, second):
    """A second answer, in any order, is an error that says so."""
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    session = await getattr(request, first)()
    with pytest.raises(SessionError, match="already"):
        await getattr(request, second)()
    del session
    await asyncio.wait([connecting])
    assert isinstance(connecting.exception(), SessionRejected) == (first == "reject")


async def test_dropped_request_is_rejected(server, client, url):
    """A request that nobody answers does not leave the client waiting."""
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    del request
    gc.collect()
    with pytest.raises(SessionRejected) as caught:
        await connecting
    assert caught.value.status_code == 404


@pytest.mark.parametrize("answer", ["accept", "reject"])
async def test_answering_a_client_that_has_gone_is_an_error(server, client, make_client, connect, url, answer):
    """The request outlives the client; the answer finds nobody."""
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    client.close()
    with pytest.raises(ConnectError):
        await connecting
    await client.wait_closed()
    await connect(make_client(), server)  # what this client sent was received after the other's close
    with pytest.raises(SessionError):
        await getattr(request, answer)()


async def test_both_families_on_one_socket(ipv6, make_server, client):
    """``[::]`` takes IPv4 clients too."""
    server = make_server(bind="[::]:0")
    for host in ("127.0.0.1", "[::1]"):
        connecting = asyncio.create_task(client.connect(f"https://{host}:{server.local_addr[1]}/"))
        request = await server.accept()
        assert request.remote_address[0] == host.strip("[]")
        assert request.url.startswith(f"https://{host}:")
        await request.accept()
        await connecting


async def test_dropped_server_is_closed(certificate, make_client, connect):
    """Without a reference left to it or its sessions, the server closes its connections."""
    server = Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0")
    pair = await connect(make_client(), server)
    client_session = pair.client
    del server, pair
    gc.collect()
    await client_session.wait_closed()
    assert isinstance(client_session.close_reason, SessionClosedByPeer)


def test_dropped_without_ever_awaiting(certificate):
    """An endpoint that never saw an event loop goes without a sound."""
    Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0")
    Client()
    gc.collect()

"""Clients: what their constructor checks, which URLs they take, whom they trust, and how connecting fails."""

import asyncio
import gc
import math
import socket

import pytest
import web_transport
from web_transport import Client, ConnectError, SessionClosedByPeer, SessionClosedLocally, SessionRejected


def test_constructor_needs_no_loop():
    """A client can be made before there is an event loop."""
    Client().close()


def test_pins_exclude_accepting_everything():
    """Hashes that nobody checks would be a false promise."""
    with pytest.raises(ValueError, match="exclude each other"):
        Client(server_certificate_hashes=[bytes(32)], no_cert_verification=True)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_pin_has_32_bytes(size):
    """A SHA-256 of any other length is none."""
    with pytest.raises(ValueError, match="32 bytes"):
        Client(server_certificate_hashes=[bytes(size)])


def test_options_are_checked():
    """As for the server."""
    with pytest.raises(ValueError, match="congestion_control"):
        Client(congestion_control="fast")
    for seconds in (-1, math.nan, math.inf, 1e300):
        with pytest.raises(ValueError, match="max_idle_timeout"):
            Client(max_idle_timeout=seconds)
        with pytest.raises(ValueError, match="keep_alive_interval"):
            Client(keep_alive_interval=seconds)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:4433",
        "/path",
        "http://localhost/",
        "wss://localhost/",
        "https:///path",
        "https://",
        "https://:443/",
        "https://localhost/#fragment",
        "https://localhost/#",
        "https://localhost:x/",
        "https://localhost:65536/",
        "https://localhost:0/",
        "https://[::1/",
        "https://[::zz]/",
        "https://1.2.3.4.5/",
        "https://user:secret@localhost/",
        f"https://{'a' * 64}.example/",
        "https://a..b/",
    ],
)
async def test_what_is_no_url_to_connect_to(client, url):
    """Only https, with a host and without fragment or user: anything else is a ValueError that speaks of the URL."""
    with pytest.raises(ValueError, match="URL"):
        await client.connect(url)


async def test_pinned_certificate_is_accepted(server, make_client, certificate, connect):
    """One right hash among others is enough."""
    right = web_transport.certificate_hash(certificate[0])
    await connect(make_client(server_certificate_hashes=[bytes(32), right]), server)


@pytest.mark.parametrize("hashes", [[bytes(32)], []])
async def test_other_pins_are_a_failure_to_connect(server, make_client, url, hashes):
    """A server that cannot be trusted was not reached: ConnectError, and never SessionRejected."""
    with pytest.raises(ConnectError) as caught:
        await make_client(server_certificate_hashes=hashes).connect(url)
    assert not isinstance(caught.value, SessionRejected)


async def test_self_signed_is_not_trusted_by_default(server, make_client, url):
    """Without pins, the roots of the system decide."""
    with pytest.raises(ConnectError) as caught:
        await make_client(server_certificate_hashes=None).connect(url)
    assert not isinstance(caught.value, SessionRejected)


async def test_no_verification_accepts_anybody(server, make_client, connect):
    """For tests and development only."""
    await connect(make_client(no_cert_verification=True), server)


async def test_one_client_has_many_sessions(server, client, connect):
    """One socket serves any number of connects, one after another and at once."""
    pairs = await asyncio.gather(*(connect(client, server) for _ in range(20)))
    for index, pair in enumerate(pairs):
        send = await pair.client.open_uni()
        async with send:
            await send.write(b"%d" % index)
    received = [await (await pair.server.accept_uni()).read() for pair in pairs]
    assert sorted(received) == sorted(b"%d" % index for index in range(20))


async def test_a_dead_port_fails_within_the_idle_timeout(make_client):
    """Silence is a failure to connect after the idle time-out, not after minutes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError, match=r"127\.0\.0\.1:\d+: .*timed out"):
            async with asyncio.timeout(20):  # by default it would be 30
                await make_client(max_idle_timeout=0.5).connect(f"https://127.0.0.1:{silent.getsockname()[1]}/")


async def test_unknown_host_is_a_failure_to_connect(client, monkeypatch):
    """DNS failures are ConnectErrors too, and say which host it was."""

    async def getaddrinfo(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectError, match=r"nowhere\.example.*not known"):
        await client.connect("https://nowhere.example/")


async def test_every_address_of_a_host_is_tried(server, make_client, monkeypatch):
    """A dead first address costs a moment, not the idle time-out (RFC 8305)."""
    port = server.local_addr[1]

    async def getaddrinfo(host, port, **options):
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", port))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        connecting = asyncio.create_task(make_client(max_idle_timeout=None).connect(f"https://two.example:{port}/"))
        request = await server.accept()
        assert request.url == f"https://two.example:{port}/"
        await request.accept()
        session = await connecting
        assert session.remote_address == ("127.0.0.1", port)


@pytest.mark.parametrize("delay", [0, 3600])
async def test_how_long_an_address_has_to_itself(server, make_client, monkeypatch, delay):
    """The next address is tried as well after the delay, and not before."""
    port = server.local_addr[1]

    async def getaddrinfo(host, port, **options):
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", port))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        client = make_client(connection_attempt_delay=delay)
        if delay:
            with pytest.raises(ConnectError, match=r"no answer yet$"):
                await client.connect(f"https://two.example:{port}/", timeout=0.2)
        else:
            connecting = asyncio.create_task(client.connect(f"https://two.example:{port}/"))
            await (await server.accept()).accept()
            assert (await connecting).remote_address == ("127.0.0.1", port)


async def test_international_host_names_travel_in_ascii(server, client, monkeypatch):
    """The host is sent as its A-label (RFC 5891)."""
    hosts = []

    async def getaddrinfo(host, port, **options):
        hosts.append(host)
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    connecting = asyncio.create_task(client.connect(f"https://b\u00fccher.example:{server.local_addr[1]}/\u00fc x?\u00fc"))
    request = await server.accept()
    assert hosts == ["xn--bcher-kva.example"]
    assert request.url == f"https://xn--bcher-kva.example:{server.local_addr[1]}/%C3%BC%20x?%C3%BC"
    await request.accept()
    await connecting


async def test_connect_after_close(client, url):
    """A closed client connects no more, and says so as ConnectError."""
    client.close()
    with pytest.raises(ConnectError):
        await client.connect(url)


async def test_close_ends_attempts(server, client, url):
    """Closing while connecting ends the attempt."""
    connecting = asyncio.create_task(client.connect(url))
    assert await server.accept() is not None
    client.close()
    with pytest.raises(ConnectError):
        await connecting


async def test_a_closing_server_refuses(server, client, url):
    """A request that is not answered before the server closes fails as ConnectError."""
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    server.close(5, "bye")
    with pytest.raises(ConnectError):
        await connecting
    del request


async def test_cancelled_connect_leaves_the_client_usable(server, client, connect, url, parked):
    """Giving up on one session is no harm to the next."""
    connecting = await parked(client.connect(url))
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    second = asyncio.create_task(client.connect(f"{url}second"))
    while (request := await server.accept()).url != f"{url}second":
        pass
    await request.accept()
    await second


async def test_close_tells_the_server(pair, client):
    """CONNECTION_CLOSE of the application, with code and reason."""
    client.close(77, "bye")
    await pair.server.wait_closed()
    error = pair.server.close_reason
    assert isinstance(error, SessionClosedByPeer)
    assert (error.source, error.code, error.reason) == ("application", 77, "bye")
    assert isinstance(pair.client.close_reason, SessionClosedLocally)
    with pytest.raises(ValueError, match="code"):
        client.close(2**62)


async def test_leaving_the_context_closes(server, certificate, connect):
    """`async with` closes with code 0 and waits until the connections are gone."""
    async with Client(server_certificate_hashes=[web_transport.certificate_hash(certificate[0])]) as client:
        pair = await connect(client, server)
    await pair.server.wait_closed()
    assert (pair.server.close_reason.source, pair.server.close_reason.code) == ("application", 0)


async def test_a_session_outlives_the_name_of_its_client(server, certificate, connect):
    """A session keeps its endpoint: it is safe to drop the client and keep the session."""
    client = Client(server_certificate_hashes=[web_transport.certificate_hash(certificate[0])])
    pair = await connect(client, server)
    del client
    gc.collect()
    send, recv = await pair.uni()
    async with send:
        await send.write(b"alive")
    assert await recv.read() == b"alive"
    pair.client.close()
    await pair.client.wait_closed()

"""Why connecting failed: each real cause has words of its own, with the host, the address and the code."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from contextlib import asynccontextmanager

import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3Connection
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from web_transport import ConnectError, SessionRejected, certificate_hash
from web_transport._race import interleaved

DAY = datetime.timedelta(days=1)


class Http(QuicConnectionProtocol):
    """A server of HTTP/3 that knows nothing of WebTransport, and answers nothing."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._http = None

    def quic_event_received(self, event):
        if self._http is None:
            self._http = H3Connection(self._quic)
            self.transmit()


class Silent(QuicConnectionProtocol):
    """A server of QUIC that says nothing beyond."""

    def quic_event_received(self, event):
        pass


@pytest.fixture
def foreign(certificate, tmp_path):
    """Runs a server of another library, and gives its URL."""

    @asynccontextmanager
    async def foreign(protocol, alpn="h3"):
        der, key = certificate
        (tmp_path / "certificate.pem").write_text(ssl.DER_cert_to_PEM_cert(der))
        loaded = serialization.load_der_private_key(key, None)
        pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (tmp_path / "key.pem").write_bytes(loaded.private_bytes(*pem))
        configuration = QuicConfiguration(alpn_protocols=[alpn], is_client=False)
        configuration.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = await serve("127.0.0.1", port, configuration=configuration, create_protocol=protocol)
        try:
            yield f"https://127.0.0.1:{port}/"
        finally:
            server.close()

    return foreign


def issue(names, start, end):
    """A certificate that signs itself: itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pkcs8 = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER), pkcs8


async def failure(client, url, **options):
    with pytest.raises(ConnectError) as caught:
        await client.connect(url, **options)
    assert not isinstance(caught.value, SessionRejected)
    text = str(caught.value)
    assert text.startswith("cannot connect to ")
    return text


def resolving_to(monkeypatch, *addresses):
    async def getaddrinfo(host, port, **options):
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


# ---- names ----


@pytest.mark.deadline(120)  # a resolver that nobody answers takes its time to say so
async def test_a_name_that_does_not_exist(client):
    """The resolver's own words, and the name that it did not find (RFC 6761 §6.4: .invalid never exists)."""
    text = await failure(client, "https://nowhere.invalid/")
    assert "nowhere.invalid" in text
    assert "resolve" in text


# ---- TLS ----


async def test_a_certificate_that_nobody_knows(server, make_client, url):
    """The system's roots have not signed it."""
    text = await failure(make_client(server_certificate_hashes=None), url)
    assert "127.0.0.1" in text
    assert "unknown issuer" in text or "no root certificates" in text


@pytest.mark.parametrize(("start", "end", "words"), [(-3 * DAY, -DAY, "expired"), (DAY, 3 * DAY, "not valid")])
async def test_a_certificate_out_of_its_time(make_server, make_client, start, end, words):
    """Too late and too early are told apart."""
    now = datetime.datetime.now(datetime.UTC)
    certificate, key = issue([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], now + start, now + end)
    server = make_server(certificate_chain=[certificate], private_key=key)
    client = make_client(server_certificate_hashes=[certificate_hash(certificate)])
    text = await failure(client, f"https://127.0.0.1:{server.local_addr[1]}/")
    assert words in text


async def test_another_certificate_than_the_pinned_one(server, make_client, url):
    """A pin that does not match."""
    assert "pinned" in await failure(make_client(server_certificate_hashes=[bytes(32)]), url)


async def test_a_server_that_does_not_speak_http3(foreign, client):
    """ALPN finds nothing in common (RFC 9114 §3.1)."""
    async with foreign(Silent, alpn="hq-interop") as url:
        text = await failure(client, url)
    assert "does not speak HTTP/3 (ALPN h3)" in text


# ---- HTTP/3 ----


async def test_a_server_without_webtransport(foreign, client):
    """What its SETTINGS lack (WT §3.1)."""
    async with foreign(Http) as url:
        text = await failure(client, url)
    assert "server does not offer WebTransport" in text or "SETTINGS" in text


async def test_a_server_that_says_nothing(foreign, client):
    """A handshake alone is no answer; `timeout` bounds the whole, whatever is missing."""
    async with foreign(Silent) as url:
        text = await failure(client, url, timeout=0.5)
    assert "timed out after 0.5 s" in text


async def test_a_request_that_is_never_answered(server, client, url):
    """Nobody but the caller knows how long an application may take."""
    text = await failure(client, url, timeout=0.5)
    assert "timed out after 0.5 s" in text
    assert f"127.0.0.1:{server.local_addr[1]}" in text


async def test_a_name_that_takes_too_long(client, monkeypatch):
    """`timeout` bounds the resolver too."""

    async def getaddrinfo(*args, **options):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    text = await failure(client, "https://slow.example/", timeout=0.1)
    assert "slow.example" in text
    assert "not resolved" in text


@pytest.mark.parametrize("timeout", [-1, float("nan")])
async def test_what_is_no_timeout(client, url, timeout):
    """A negative time would be over before it began."""
    with pytest.raises(ValueError, match="timeout"):
        await client.connect(url, timeout=timeout)


# ---- several addresses ----


async def test_every_address_is_named_with_its_cause(server, make_client, monkeypatch):
    """Two addresses that fail differently: silence, and a certificate that is not trusted (RFC 8305)."""
    port = server.local_addr[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", port))
        resolving_to(monkeypatch, "127.0.0.2", "127.0.0.1")
        client = make_client(server_certificate_hashes=[bytes(32)], max_idle_timeout=0.5)
        text = await failure(client, f"https://two.example:{port}/")
    assert f"two.example:{port}" in text
    assert "127.0.0.2: timed out" in text
    assert "127.0.0.1: TLS handshake failed" in text
    assert "pinned" in text


async def test_a_timeout_names_what_was_tried(make_client, monkeypatch):
    """Addresses without an answer so far are named as well."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", 0))
        resolving_to(monkeypatch, "127.0.0.2", "127.0.0.2")
        text = await failure(make_client(), f"https://one.example:{silent.getsockname()[1]}/", timeout=0.4)
    assert "no answer yet" in text


async def test_a_rejection_ends_the_race(server, make_client, monkeypatch):
    """Whoever says no has answered: the other addresses are not asked."""
    port = server.local_addr[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", port))
        resolving_to(monkeypatch, "127.0.0.1", "127.0.0.2")
        connecting = asyncio.create_task(make_client().connect(f"https://two.example:{port}/"))
        await (await server.accept()).reject(403)
        with pytest.raises(SessionRejected):
            await connecting


async def test_a_server_that_takes_its_time_is_the_only_one_asked(make_server, make_client, monkeypatch):
    """Addresses race to be reached; whoever is has all the time to answer, and no other is asked for the same session."""
    first = make_server()
    port = first.local_addr[1]
    second = make_server(bind=f"127.0.0.2:{port}")
    resolving_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    connecting = asyncio.create_task(make_client(connection_attempt_delay=1).connect(f"https://two.example:{port}/"))
    request = await first.accept()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second.accept(), 1.5)  # more than the time after which the next address joins in
    session = await request.accept()
    assert (await connecting).url == session.url


def test_families_are_tried_by_turns():
    """The best first, then one of the other family (RFC 8305 §4)."""
    addresses = [("2001:db8::1", 1), ("2001:db8::2", 1), ("2001:db8::3", 1), ("192.0.2.1", 1), ("192.0.2.2", 1)]
    order = [host for host, _ in interleaved(addresses)]
    assert order == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"]
    assert interleaved(addresses[3:]) == addresses[3:]
    assert interleaved(list(reversed(addresses)))[:2] == [("192.0.2.2", 1), ("2001:db8::3", 1)]
    assert interleaved([]) == []

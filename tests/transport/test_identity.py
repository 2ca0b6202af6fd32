"""Who is who: roots, pins and client certificates; a server that comes back; secrets that only two share."""

import asyncio
import signal
import sys

import pytest
import web_transport
from web_transport import Client, ConnectError, SessionClosedByPeer, SessionClosedLocally

from .authority import Authority


@pytest.fixture(scope="module")
def authority():
    """One authority for all tests: it takes a moment to make keys."""
    return Authority()


def url(server, host="localhost"):
    return f"https://{host}:{server.local_addr[1]}/"


async def connected(client, server, host="localhost"):
    """Both ends of a session."""
    connecting = asyncio.create_task(client.connect(url(server, host)))
    request = await server.accept()
    return await request.accept(), await connecting


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa"])
async def test_roots_of_ones_own(authority, make_server, kind):
    """`ca_certificates` stand in for the system's roots; servers with ECDSA and RSA keys are verified alike (RFC 8446 §9.1)."""
    certificate, key = authority.issue(kind=kind)
    server = make_server(certificate_chain=[certificate], private_key=key)
    async with Client(ca_certificates=[authority.root]) as client:
        await connected(client, server)


async def test_a_server_that_is_not_verified_says_why(authority, make_server):
    """The text of the error tells what is wrong with the certificate, in words, and which alert the server was sent."""
    for options, expected in [
        ({"name": "elsewhere.test"}, "elsewhere.test.*BadCertificate"),
        ({"first": -3, "last": -2}, "has expired: it was valid until 20.* UTC.*CertificateExpired"),
        ({"first": 2, "last": 3}, "is not valid before 20.* UTC.*CertificateExpired"),
    ]:
        certificate, key = authority.issue(**options)
        server = make_server(certificate_chain=[certificate], private_key=key)
        async with Client(ca_certificates=[authority.root]) as client:
            with pytest.raises(ConnectError, match=expected):
                await client.connect(url(server))
    certificate, key = Authority("other").issue()
    server = make_server(certificate_chain=[certificate], private_key=key)
    async with Client(ca_certificates=[authority.root]) as client:
        with pytest.raises(ConnectError, match="unknown issuer.*UnknownCA"):
            await client.connect(url(server))


@pytest.mark.parametrize(
    ("options", "plain", "w3c"),
    [
        ({}, None, None),
        ({"last": 12}, None, None),
        ({"last": 14}, None, "valid for 15.0 days"),
        ({"kind": "rsa"}, None, "not ECDSA P-256"),
        ({"kind": "p384"}, None, "not ECDSA P-256"),
        ({"first": -3, "last": -2}, "has expired", "has expired"),
        ({"first": 2, "last": 3}, "is not valid before", "is not valid before"),
    ],
)
async def test_pinned_certificates_must_be_valid(authority, make_server, options, plain, w3c):
    """A pin passes over name and issuer, never over the dates; `pin_rules` adds the rules of browsers (W3C WebTransport)."""
    certificate, key = authority.issue("elsewhere.test", **options)
    server = make_server(certificate_chain=[certificate], private_key=key)
    for rules, expected in [(None, plain), ("w3c", w3c)]:
        async with Client(server_certificate_hashes=[web_transport.certificate_hash(certificate)], pin_rules=rules) as client:
            if expected is None:
                await connected(client, server)
            else:
                with pytest.raises(ConnectError, match=expected):
                    await client.connect(url(server))


async def test_a_wrong_pin_names_the_right_one(server, certificate):
    """The error carries the hash of what the server showed, so that it can be compared."""
    async with Client(server_certificate_hashes=[bytes(32)]) as client:
        with pytest.raises(ConnectError, match=web_transport.certificate_hash(certificate[0]).hex()):
            await client.connect(url(server))


@pytest.mark.parametrize(
    "options",
    [
        {"ca_certificates": []},
        {"ca_certificates": [b"junk"]},
        {"ca_certificates": [b"junk"], "no_cert_verification": True},
        {"server_certificate_hashes": [], "no_cert_verification": True},
        {"server_certificate_hashes": [b"short"]},
        {"pin_rules": "w3c"},
        {"pin_rules": "mine", "server_certificate_hashes": []},
        {"certificate_chain": [b"junk"]},
        {"private_key": b"junk"},
        {"certificate_chain": [b"junk"], "private_key": b"junk"},
    ],
)
def test_a_clients_options_fit_together(options):
    """One way to verify, and a certificate with its key: a ValueError names what does not fit."""
    with pytest.raises(ValueError, match="certificate|pin_rules|private key"):
        Client(**options)


@pytest.mark.parametrize(
    "options", [{"client_ca_certificates": []}, {"client_ca_certificates": [b"junk"]}, {"require_client_certificate": True}]
)
def test_a_servers_options_fit_together(make_server, options):
    """Whoever asks for certificates says who signs them."""
    with pytest.raises(ValueError, match="client_ca_certificates"):
        make_server(**options)


async def test_client_certificates(authority, make_server, certificate):
    """A request tells who the client is, if the server asked and the client had a certificate; what is shown is verified."""
    chain, key = authority.issue("client", client=True)
    optional = {"client_ca_certificates": [authority.root]}
    required = {**optional, "require_client_certificate": True}
    proof = {"certificate_chain": [chain], "private_key": key}
    for asked, options, expected in [({}, proof, []), (optional, proof, [chain]), (optional, {}, []), (required, proof, [chain])]:
        server = make_server(**asked)
        async with Client(no_cert_verification=True, **options) as client:
            connecting = asyncio.create_task(client.connect(url(server)))
            request = await server.accept()
            assert request.client_certificates == expected
            await request.accept()
            await connecting
    stranger = Authority("other").issue("client", client=True)
    for proof, alert in [({}, "CertificateRequired"), ({"certificate_chain": [stranger[0]], "private_key": stranger[1]}, "UnknownCA")]:
        async with Client(no_cert_verification=True, **proof) as client:
            with pytest.raises(ConnectError, match=alert):
                await client.connect(url(server))


async def test_reloading_keeps_asking_for_client_certificates(authority, make_server):
    """`reload_certificates` changes who the server is, not whom it lets in."""
    server = make_server(client_ca_certificates=[authority.root], require_client_certificate=True)
    certificate, key = authority.issue()
    server.reload_certificates([certificate], key)
    chain, key = authority.issue("client", client=True)
    async with Client(ca_certificates=[authority.root], certificate_chain=[chain], private_key=key) as client:
        await connected(client, server)
    async with Client(ca_certificates=[authority.root]) as client:
        with pytest.raises(ConnectError, match="CertificateRequired"):
            await client.connect(url(server))


SERVER = """
import asyncio, sys
from web_transport import Server

async def main():
    key, certificate, bind, options = sys.stdin.readline().split()
    reset_key = bytes.fromhex(options) if options != "-" else None
    server = Server(certificate_chain=[bytes.fromhex(certificate)], private_key=bytes.fromhex(key), bind=bind, reset_key=reset_key)
    print(server.local_addr[1], flush=True)
    sessions = [await request.accept() async for request in server]

asyncio.run(main())
"""


@pytest.mark.parametrize("reset_key", [None, bytes(range(32))])
async def test_a_server_that_was_killed_and_comes_back_resets(certificate, client, reset_key):
    """RFC 9000 §10.3: it knows nothing of its former life but a secret, and that is enough to tell the client at once."""
    port = 0

    async def serve():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        words = [certificate[1].hex(), certificate[0].hex(), f"127.0.0.1:{port}", reset_key.hex() if reset_key else "-"]
        process.stdin.write(" ".join(words).encode() + b"\n")
        return process, int(await process.stdout.readline())

    process, port = await serve()
    session = await client.connect(f"https://127.0.0.1:{port}/")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    process, _ = await serve()
    try:
        async with asyncio.timeout(10):  # well before the idle time-out
            with pytest.raises(SessionClosedByPeer) as caught:
                while True:
                    session.send_datagram(b"are you there?")
                    await asyncio.sleep(0.05)
        assert (caught.value.source, caught.value.code) == ("connection-reset", None)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("reset_key", [b"", b"short", bytes(31)])
def test_a_reset_key_must_be_long(make_server, reset_key):
    """Whoever guesses it can end every connection."""
    with pytest.raises(ValueError, match="reset_key must be at least 32 bytes"):
        make_server(reset_key=reset_key)
    with pytest.raises(TypeError, match="reset_key"):
        make_server(reset_key="secret" * 8)


async def test_both_sides_export_the_same_keying_material(pair, client, server, connect):
    """WT §4.8: equal on both sides, and different for every label, context and session."""
    other = await connect(client, server)
    seen = set()
    for label, context in [("a", b""), ("b", b""), ("a", b"b"), ("ab", b""), ("x" * 255, bytes(255)), (b"\xff", bytearray(b"c"))]:
        material = await pair.client.export_keying_material(label, context)
        assert len(material) == 32
        assert material == await pair.server.export_keying_material(label, context)
        assert material != await other.client.export_keying_material(label, context)
        seen.add(material)
    assert len(seen) == 6
    for length in (1, 33, 4096):
        assert len(await pair.client.export_keying_material("a", length=length)) == length
    assert await pair.client.export_keying_material("a") == await pair.server.export_keying_material(b"a")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("",), "label"),
        (("x" * 256,), "label"),
        (("é" * 128,), "label"),
        (("a", bytes(256)), "context"),
        (("a", b"", 0), "length"),
        (("a", b"", -1), "length"),
        (("a", b"", 4097), "length"),
    ],
)
async def test_exports_have_bounds(pair, arguments, name):
    """Label and context are told with one byte of length each (WT §4.8)."""
    with pytest.raises(ValueError, match=name):
        await pair.client.export_keying_material(*arguments)


async def test_exports_end_with_the_session(pair):
    """After the end, on either side, it raises what every call raises."""
    with pytest.raises(TypeError):
        await pair.client.export_keying_material("a", "no bytes")
    pair.client.close(7, "done")
    with pytest.raises(SessionClosedLocally):
        await pair.client.export_keying_material("a")
    await pair.server.wait_closed()
    with pytest.raises(SessionClosedByPeer):
        await pair.server.export_keying_material("a")


async def test_a_cancelled_export_leaves_nothing(pair):
    """Cancelled or not, the next one is answered."""
    exporting = asyncio.create_task(pair.client.export_keying_material("a"))
    await asyncio.sleep(0)
    exporting.cancel()
    assert await pair.client.export_keying_material("a") == await pair.server.export_keying_material("a")

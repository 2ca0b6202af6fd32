"""docs/guide/errors.md shows every error as it really reads: each of its lines has a cause here, and each cause a line there."""

import asyncio
import inspect
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import web_transport
from aioquic.asyncio.client import connect as connect_aioquic
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection, Setting
from aioquic.quic.configuration import QuicConfiguration
from web_transport import WebTransportError

from tests.transport.processes import SERVER, kill, process

GUIDE = Path(__file__).parents[2] / "docs/guide/errors.md"
SHOWN = [line for block in re.findall(r"^```text\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL) for line in block.splitlines()]
HASH = "7404a3282f038a249ff6fdb5d1d384cc27d156ad2edb54ebebf38f8364b25dd3"
CAUSES: dict[str, Callable[["Stage"], Awaitable[None]]] = {}


def cause(line):
    """Registers what raises the error that reads *line*: ``ClassName: message``."""

    def register(function):
        assert line not in CAUSES
        CAUSES[line] = function
        return function

    return register


@dataclass
class Stage:
    """What a cause needs."""

    make_server: Any
    make_client: Any
    connect: Any
    fail_to_resolve: Any
    files: Any

    async def pair(self, **options):
        """A session, its client and its server with these options."""
        client, server = self.make_client(**options), self.make_server(**options)
        return await self.connect(client, server), client, server

    async def refused(self, server, client=None):
        """Connect where that must fail."""
        await (client or self.make_client()).connect(f"https://127.0.0.1:{server.local_addr[1]}/")


class WebTransport(H3Connection):
    """HTTP/3 with draft-02."""

    def __init__(self, quic):
        super().__init__(quic, enable_webtransport=True)


class WithoutDatagrams(WebTransport):
    """What promises no datagrams may not promise them in HTTP/3 either (RFC 9297 §2.1.1)."""

    def _get_local_settings(self):
        return {name: value for name, value in super()._get_local_settings().items() if name != Setting.H3_DATAGRAM}


class Stranger(QuicConnectionProtocol):
    """A client of an independent implementation, which can do what ours never does."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.http = (WebTransport if self._quic.configuration.max_datagram_frame_size else WithoutDatagrams)(self._quic)

    def quic_event_received(self, event):
        self.http.handle_event(event)

    def ask(self):
        """Ask for a session; gives its CONNECT stream."""
        stream = self._quic.get_next_available_stream_id()
        fields = {":method": "CONNECT", ":protocol": "webtransport", ":scheme": "https", ":authority": "localhost", ":path": "/"}
        self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in fields.items()])
        self.transmit()
        return stream


@asynccontextmanager
async def stranger(server, **options):
    """A session with such a client: the server's end, the client and its CONNECT stream."""
    options = {"max_datagram_frame_size": 65536, **options}
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, verify_mode=ssl.CERT_NONE, **options)
    host, port = server.local_addr
    async with connect_aioquic(host, port, configuration=configuration, create_protocol=Stranger) as client:
        stream = client.ask()
        session = await (await server.accept()).accept()
        yield session, client, stream


# ---- connecting ----


@cause("ConnectError: cannot connect to nowhere.invalid: cannot resolve its name: Name or service not known")
async def no_such_host(stage):
    stage.fail_to_resolve(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    await stage.make_client().connect("https://nowhere.invalid/")


@cause("ConnectError: cannot connect to 127.0.0.1:4433: timed out: no answer from the server")
async def nobody_there(stage):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        await stage.make_client(max_idle_timeout=0.2).connect(f"https://127.0.0.1:{silent.getsockname()[1]}/")


@cause("ConnectError: cannot connect to 127.0.0.1:4433: timed out after 0.2 s: no answer yet")
async def no_patience(stage):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        await stage.make_client().connect(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.2)


@cause(
    "ConnectError: cannot connect to 127.0.0.1:4433: TLS handshake failed: "
    "certificate is from an unknown issuer: none of the trusted roots has signed it, alert UnknownCA (48) sent"
)
async def untrusted(stage):
    certificate, key = web_transport.generate_self_signed(["127.0.0.1"])
    server = stage.make_server(certificate_chain=[certificate], private_key=key)
    await stage.refused(server, stage.make_client(server_certificate_hashes=None))


@cause(
    "ConnectError: cannot connect to 127.0.0.1:4433: TLS handshake failed: certificate is not pinned: "
    f"its SHA-256 is {HASH}, alert AccessDenied (49) sent"
)
async def other_pin(stage):
    await stage.refused(stage.make_server(), stage.make_client(server_certificate_hashes=[bytes(32)]))


@cause(
    "ConnectError: cannot connect to 127.0.0.1:4433: "
    "server and client have no version of WebTransport in common: it speaks draft-16, we offer draft-07"
)
async def no_common_dialect(stage):
    await stage.refused(stage.make_server(dialects=["draft-16"]), stage.make_client(dialects=["draft-07"]))


@cause(
    "ConnectError: cannot connect to 127.0.0.1:4433: "
    "server closed the connection during the handshake: the server refused to accept a new connection"
)
async def server_is_draining(stage):
    server = stage.make_server()
    server.drain()
    await stage.refused(server)


@cause("ConnectError: cannot connect to 127.0.0.1:4433: client closed")
async def client_is_closed(stage):
    client = stage.make_client()
    client.close()
    await stage.refused(stage.make_server(), client)


async def rejected(stage, *args, **options):
    client, server = stage.make_client(), stage.make_server()
    connecting = asyncio.create_task(stage.refused(server, client))
    await (await server.accept()).reject(*args, **options)
    await connecting


@cause("SessionRejected: server rejected the session: status 404")
async def rejection(stage):
    await rejected(stage)


@cause("SessionRejected: server rejected the session: status 401, body b'who are you?'")
async def rejection_with_a_body(stage):
    await rejected(stage, 401, body=b"who are you?")


# ---- requests ----


@cause("SessionError: session request was already accepted")
async def answered_twice(stage):
    client, server = stage.make_client(), stage.make_server()
    connecting = asyncio.create_task(stage.refused(server, client))
    request = await server.accept()
    await request.accept()
    await connecting
    await request.reject()


@cause('SessionError: client has gone: session closed by peer: application, code 0, reason ""')
async def client_has_gone(stage):
    client, server = stage.make_client(), stage.make_server()
    connecting = asyncio.create_task(stage.refused(server, client))
    request = await server.accept()
    client.close()
    await asyncio.wait([connecting])
    connecting.exception()
    await client.wait_closed()
    await stage.connect(stage.make_client(), server)  # what this one sent was received after the other's close
    await request.accept()


# ---- the end of a session ----


@cause("SessionClosedByPeer: session closed by peer: session, code 7, reason 'bye'")
async def session_closed(stage):
    pair, *_ = await stage.pair()
    pair.server.close(7, "bye")
    await pair.client.accept_bi()


@cause("SessionClosedByPeer: session closed by peer: application, code 1, reason 'restarting'")
async def endpoint_closed(stage):
    pair, _, server = await stage.pair()
    server.close(1, "restarting")
    await pair.client.accept_bi()


@cause("SessionClosedByPeer: session closed by peer: transport, code 1, reason 'out of memory'")
async def transport_closed(stage):
    async with stranger(stage.make_server()) as (session, client, _):
        client._quic.close(error_code=1, frame_type=0, reason_phrase="out of memory")
        client.transmit()
        await session.accept_bi()


@cause("SessionClosedByPeer: session closed by peer: connection-reset, code None, reason ''")
async def restarted(stage):
    async with process(SERVER, 0, *stage.files) as server:
        port = int(await server.stdout.readline())
        session = await stage.make_client().connect(f"https://127.0.0.1:{port}/")
        await kill(server)
    async with process(SERVER, port, *stage.files) as server:
        await server.stdout.readline()
        send = await session.open_uni()
        await send.write(bytes(100))
        await session.accept_bi()


@cause("SessionClosedLocally: session closed locally")
async def used_after_close(stage):
    pair, *_ = await stage.pair()
    pair.client.close()
    await pair.client.open_bi()


@cause("SessionTimeout: session timed out: nothing heard from the peer for the idle time-out")
async def idle(stage):
    pair, *_ = await stage.pair(max_idle_timeout=1)
    await pair.client.accept_bi()


@cause("ProtocolError: peer sent a malformed message on the CONNECT stream, reset with H3_MESSAGE_ERROR")
async def malformed_capsule(stage):
    async with stranger(stage.make_server()) as (session, client, stream):
        client.http.send_data(stream, b"\x68\x43\x02\x00\x00", end_stream=False)  # CLOSE without room for its code (WT §6)
        client.transmit()
        await session.accept_bi()


@cause("ProtocolError: peer broke the rules of the control stream, closed with H3_FRAME_UNEXPECTED")
async def second_settings(stage):
    async with stranger(stage.make_server()) as (session, client, _):
        client._quic.send_stream_data(client.http._local_control_stream_id, b"\x04\x00")  # RFC 9114 §7.2.4: no second SETTINGS
        client.transmit()
        await session.accept_bi()


# ---- streams ----


@cause("StreamClosedByPeer: peer closed the stream: stop, code 9")
async def stopped(stage):
    pair, *_ = await stage.pair()
    send, recv = await pair.uni()
    recv.stop(9)
    await send.wait_closed()
    await send.write(b"x")


@cause("StreamClosedByPeer: peer closed the stream: reset, code 9")
async def reset(stage):
    pair, *_ = await stage.pair()
    send, recv = await pair.uni()
    send.reset(9)
    await recv.read()


@cause("StreamClosedLocally: stream closed locally")
async def written_after_finish(stage):
    pair, *_ = await stage.pair()
    send, _ = await pair.uni()
    await send.finish()
    await send.write(b"x")


@cause("StreamTooLongError: stream too long: the limit is 3 bytes")
async def too_long(stage):
    pair, *_ = await stage.pair()
    send, recv = await pair.uni()
    async with send:
        await send.write(b"four")
    await recv.read(limit=3)


@cause("StreamIncompleteReadError: peer finished the stream early: 4 bytes of 5 expected")
async def too_short(stage):
    pair, *_ = await stage.pair()
    send, recv = await pair.uni()
    async with send:
        await send.write(b"four")
    await recv.readexactly(5)


@cause("StreamIncompleteReadError: peer finished the stream early: 4 bytes and no separator")
async def no_separator(stage):
    pair, *_ = await stage.pair()
    send, recv = await pair.uni()
    async with send:
        await send.write(b"four")
    await recv.readuntil(b"\n")


# ---- datagrams ----


@cause("DatagramTooLargeError: datagram too large: 65536 bytes, the limit is 1162")
async def datagram_too_large(stage):
    pair, *_ = await stage.pair()
    pair.client.send_datagram(bytes(65536))


@cause("DatagramNotSupportedError: datagrams are not supported: unsupported_by_peer")
async def no_datagrams(stage):
    async with stranger(stage.make_server(), max_datagram_frame_size=None) as (session, *_):
        session.send_datagram(b"x")


@pytest.fixture
def stage(make_server, make_client, connect, certificate_files, monkeypatch):
    def fail_to_resolve(error):
        async def getaddrinfo(*args, **options):
            raise error

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    return Stage(make_server, make_client, connect, fail_to_resolve, certificate_files)


def line_of(error):
    """How the guide shows an error: what is different each time is always the same there."""
    line = f"{type(error).__name__}: {error}"
    for varying, shown in ((r"(?<=127\.0\.0\.1:)\d+", "4433"), (r"[0-9a-f]{64}", HASH), (r"(?<=the limit is )\d{4,5}$", "1162")):
        line = re.sub(varying, shown, line)
    return line


@pytest.mark.parametrize("line", CAUSES)
async def test_an_error_reads_as_the_guide_shows_it(stage, line):
    """The cause is real, and so is the text."""
    with pytest.raises(WebTransportError) as raised:
        await CAUSES[line](stage)
    assert line_of(raised.value) == line


def test_the_guide_shows_what_has_a_cause_here():
    assert sorted(SHOWN) == sorted(CAUSES)


def test_every_class_is_raised_or_only_caught():
    """What is in the tree is shown as it is raised, or it says of itself that it is only there to be caught."""
    classes = {name for name, kind in vars(web_transport).items() if inspect.isclass(kind) and issubclass(kind, WebTransportError)}
    raised = {line.partition(":")[0] for line in SHOWN}
    caught = set(re.findall(r"^\| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE))
    assert raised | caught == classes
    assert not raised & caught

"""Independent implementations agree with us on the wire: each peer as a server and as a client, in a process of its own.

What a peer cannot do, and how we know (measured against itself or another peer, never only against us):

===================  ======  =======  =====================================================================================
peer                 role    check    what happens instead
===================  ======  =======  =====================================================================================
web-transport-quinn  server  reject   no response leaves: it closes the connection with code 0 (its own client gets
                                      "unexpected end of input", aioquic sees CONNECTION_CLOSE and no HEADERS)
pywebtransport       client  reject   its error carries H3_REQUEST_REJECTED, never the status (also against its own server)
===================  ======  =======  =====================================================================================

`CANNOT` says the same to the tests. What else a peer is particular about stands in the module that adapts it, under ``peers/``.
"""

import asyncio
import base64
import json
import os
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import web_transport

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the peers' scripts listen for signals and standard input")

PEERS = ("web_transport_quinn", "pywebtransport", "aioquic")
DIALECTS = {"web_transport_quinn": "draft-07", "pywebtransport": "draft-16", "aioquic": "draft-02"}  # the highest that both speak
CANNOT = {("web_transport_quinn", "server", "reject"), ("pywebtransport", "client", "reject")}

RESET, STOP, CLOSE, REJECT = 5, 6, (7, "bye"), 404  # as in peers/common.py
PAYLOAD = bytes(range(250)) * 400
TIMEOUT = 20.0  # seconds for one test's conversation; the slowest takes two


@pytest.fixture(scope="session")
def pem_files(certificate: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The certificate and its key as the peers' scripts take them."""
    folder = tmp_path_factory.mktemp("certificate")
    pem, key_pem = folder / "cert.pem", folder / "key.pem"
    pem.write_text(ssl.DER_cert_to_PEM_cert(certificate[0]))
    key_pem.write_text(f"-----BEGIN PRIVATE KEY-----\n{base64.encodebytes(certificate[1]).decode()}-----END PRIVATE KEY-----\n")
    return pem, key_pem


@asynccontextmanager
async def peer_process(python: Path, peer: str, *arguments: str | Path) -> AsyncIterator[Process]:
    """A peer's script, ended with the block."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = await asyncio.create_subprocess_exec(
        python, "-P", "-m", f"peers.{peer}", *arguments, stdin=PIPE, stdout=PIPE, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()


# ---- peers as servers ----


class PeerServer:
    def __init__(self, name: str, process: Process, port: int, certificate_hash: bytes) -> None:
        self.name = name
        self._process, self._certificate_hash = process, certificate_hash
        self._url = f"https://127.0.0.1:{port}"

    def client(self) -> web_transport.Client:
        return web_transport.Client(server_certificate_hashes=[self._certificate_hash])

    def url(self, path: str) -> str:
        return f"{self._url}{path}"

    @asynccontextmanager
    async def session(self, path: str = "/echo") -> AsyncIterator[web_transport.Session]:
        async with asyncio.timeout(TIMEOUT), self.client() as client, await client.connect(self.url(path)) as session:
            yield session

    async def saw(self, what: str) -> object:
        """What the server told of its clients next, of this kind."""
        assert self._process.stdout
        async with asyncio.timeout(TIMEOUT):
            while line := await self._process.stdout.readline():
                kind, value = json.loads(line)
                if kind == what:
                    return value
        raise AssertionError(f"{self.name} ended without having seen a {what}")


@pytest.fixture(params=PEERS)
async def peer_server(
    request: pytest.FixtureRequest,
    peer_python: Callable[[str], Path],
    certificate: tuple[bytes, bytes],
    pem_files: tuple[Path, Path],
) -> AsyncIterator[PeerServer]:
    peer: str = request.param
    async with peer_process(peer_python(peer), peer, "serve", "--cert", pem_files[0], "--key", pem_files[1]) as process:
        assert process.stdout
        async with asyncio.timeout(TIMEOUT):
            line = await process.stdout.readline()
        assert line.startswith(b"listening "), f"{peer} did not start: {line!r}"
        yield PeerServer(peer, process, int(line.split()[1]), web_transport.certificate_hash(certificate[0]))


async def test_server_echoes_a_bidirectional_stream(peer_server: PeerServer) -> None:
    async with peer_server.session() as session:
        assert session.dialect == DIALECTS[peer_server.name]
        send, recv = await session.open_bi()
        async with send:
            await send.write(PAYLOAD)
        assert await recv.read() == PAYLOAD


async def test_server_echoes_a_unidirectional_stream(peer_server: PeerServer) -> None:
    async with peer_server.session() as session:
        async with await session.open_uni() as send:
            await send.write(PAYLOAD)
        recv = await session.accept_uni()
        assert await recv.read() == PAYLOAD


async def test_server_echoes_datagrams(peer_server: PeerServer) -> None:
    async with peer_server.session() as session:
        for size in (1, 1000):
            await session.send_datagram(b"d" * size)
            assert await session.receive_datagram() == b"d" * size


async def test_server_sees_our_reset_code(peer_server: PeerServer) -> None:
    async with peer_server.session() as session:
        send, recv = await session.open_bi()
        await send.write(b"x")
        assert await recv.readexactly(1) == b"x"
        send.reset(RESET)
        assert await peer_server.saw("reset") == RESET


async def test_server_sees_our_stop_code(peer_server: PeerServer) -> None:
    async with peer_server.session() as session:
        send, recv = await session.open_bi()
        await send.write(b"x")
        assert await recv.readexactly(1) == b"x"
        recv.stop(STOP)
        await send.write(b"y")  # a server learns of the stop when it answers this, if not before
        assert await peer_server.saw("stop") == STOP


async def test_we_see_a_servers_reset_and_stop_codes(peer_server: PeerServer) -> None:
    async with peer_server.session("/reset") as session:
        send, recv = await session.open_bi()
        await send.write(b"x")
        with pytest.raises(web_transport.StreamClosedByPeer) as caught:
            await recv.read()
        assert (caught.value.kind, caught.value.code) == ("reset", RESET)
        assert await send.wait_closed() == STOP
        with pytest.raises(web_transport.StreamClosedByPeer) as caught:
            await send.write(b"y")
        assert (caught.value.kind, caught.value.code) == ("stop", STOP)


async def test_server_sees_our_close(peer_server: PeerServer) -> None:
    async with peer_server.session() as session:
        session.close(*CLOSE)
        await session.wait_closed()
        assert await peer_server.saw("close") == list(CLOSE)


async def test_we_see_a_servers_close(peer_server: PeerServer) -> None:
    async with peer_server.session("/close") as session:
        send, _recv = await session.open_bi()
        await send.write(b"x")
        with pytest.raises(web_transport.SessionClosedByPeer) as caught:
            await session.receive_datagram()
        assert (caught.value.source, caught.value.code, caught.value.reason) == ("session", *CLOSE)


async def test_we_see_a_servers_rejection(peer_server: PeerServer) -> None:
    async with asyncio.timeout(TIMEOUT), peer_server.client() as client:
        with pytest.raises(web_transport.ConnectError) as caught:
            await client.connect(peer_server.url("/reject"))
        if (peer_server.name, "server", "reject") in CANNOT:
            assert not isinstance(caught.value, web_transport.SessionRejected)
        else:
            assert isinstance(caught.value, web_transport.SessionRejected)
            assert caught.value.status_code == REJECT


async def test_server_takes_sessions_one_after_another(peer_server: PeerServer) -> None:
    async with asyncio.timeout(TIMEOUT), peer_server.client() as client:
        for number in range(3):
            async with await client.connect(peer_server.url("/echo")) as session:
                send, recv = await session.open_bi()
                async with send:
                    await send.write(b"%d" % number)
                assert await recv.read() == b"%d" % number


async def test_server_takes_sessions_at_the_same_time(peer_server: PeerServer) -> None:
    async with asyncio.timeout(TIMEOUT), peer_server.client() as client:
        sessions = await asyncio.gather(*(client.connect(peer_server.url("/echo")) for _ in range(3)))
        for number, session in enumerate(sessions):
            await session.send_datagram(b"%d" % number)
        assert await asyncio.gather(*(session.receive_datagram() for session in sessions)) == [b"0", b"1", b"2"]


# ---- peers as clients ----


class OurServer:
    """Our echo server with the paths that `peers.common` describes; what it sees of its clients waits in a queue."""

    def __init__(self, server: web_transport.Server) -> None:
        self.port = server.local_addr[1]
        self.sessions: list[web_transport.Session] = []
        self._server = server
        self._seen: asyncio.Queue[tuple[str, object]] = asyncio.Queue()

    async def saw(self, what: str) -> object:
        async with asyncio.timeout(TIMEOUT):
            while True:
                kind, value = await self._seen.get()
                if kind == what:
                    return value

    async def run(self) -> None:
        async with asyncio.TaskGroup() as requests:
            async for request in self._server:
                requests.create_task(self._answer(request))

    async def _answer(self, request: web_transport.SessionRequest) -> None:
        path = urlsplit(request.url).path
        if path == "/reject":
            await request.reject(REJECT)
            return
        async with await request.accept() as session:
            self.sessions.append(session)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._bidirectional(session, path, tasks))
                    tasks.create_task(self._unidirectional(session, tasks))
                    tasks.create_task(self._datagrams(session))
            except* web_transport.SessionError:
                self._seen.put_nowait(("close", session.close_reason))

    async def _bidirectional(self, session: web_transport.Session, path: str, tasks: asyncio.TaskGroup) -> None:
        async def echo(send: web_transport.SendStream, recv: web_transport.RecvStream) -> None:
            try:
                async for chunk in recv:
                    if path == "/reset":
                        send.reset(RESET)
                        recv.stop(STOP)
                        return
                    if path == "/close":
                        session.close(*CLOSE)
                        return
                    await send.write(chunk)
                await send.finish()
            except web_transport.StreamClosedByPeer as closed:
                self._seen.put_nowait((closed.kind, closed.code))

        while True:
            tasks.create_task(echo(*await session.accept_bi()))

    async def _unidirectional(self, session: web_transport.Session, tasks: asyncio.TaskGroup) -> None:
        async def echo(recv: web_transport.RecvStream) -> None:
            async with await session.open_uni() as send:
                async for chunk in recv:
                    await send.write(chunk)

        while True:
            tasks.create_task(echo(await session.accept_uni()))

    async def _datagrams(self, session: web_transport.Session) -> None:
        while True:
            await session.send_datagram(await session.receive_datagram())


@pytest.fixture
async def ours(certificate: tuple[bytes, bytes]) -> AsyncIterator[OurServer]:
    async with web_transport.Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0") as endpoint:
        server = OurServer(endpoint)
        running = asyncio.create_task(server.run())
        yield server
    async with asyncio.timeout(TIMEOUT):
        await running


@pytest.fixture(params=PEERS)
def check(request: pytest.FixtureRequest, peer_python: Callable[[str], Path], ours: OurServer) -> "PeerClient":
    return PeerClient(request.param, peer_python(request.param), ours.port)


@dataclass(frozen=True)
class PeerClient:
    name: str
    python: Path
    port: int

    async def __call__(self, check: str) -> object:
        """The result of one of the peer's checks against our server."""
        async with peer_process(self.python, self.name, "connect", f"https://127.0.0.1:{self.port}", check) as process:
            async with asyncio.timeout(TIMEOUT):
                output, _ = await process.communicate()
        return json.loads(output)[check]


async def test_client_gets_a_bidirectional_echo(check: PeerClient, ours: OurServer) -> None:
    assert await check("bidi") is True
    assert ours.sessions[0].dialect == DIALECTS[check.name]


async def test_client_gets_a_unidirectional_echo(check: PeerClient) -> None:
    assert await check("uni") is True


async def test_client_gets_its_datagrams_back(check: PeerClient) -> None:
    assert await check("datagram") is True


async def test_we_see_a_clients_reset_code(check: PeerClient, ours: OurServer) -> None:
    assert await check("reset") is True
    assert await ours.saw("reset") == RESET


async def test_we_see_a_clients_stop_code(check: PeerClient, ours: OurServer) -> None:
    assert await check("stop") is True
    assert await ours.saw("stop") == STOP


async def test_client_sees_our_reset_code(check: PeerClient) -> None:
    assert await check("reset_by_server") == ["reset", RESET]


async def test_client_sees_our_stop_code(check: PeerClient) -> None:
    assert await check("stop_by_server") == ["stop", STOP]


async def test_we_see_a_clients_close(check: PeerClient, ours: OurServer) -> None:
    assert await check("close") is True
    closed = await ours.saw("close")
    assert isinstance(closed, web_transport.SessionClosedByPeer)
    assert (closed.source, closed.code, closed.reason) == ("session", *CLOSE)


async def test_client_sees_our_close(check: PeerClient) -> None:
    assert await check("close_by_server") == list(CLOSE)


async def test_client_sees_our_rejection(check: PeerClient) -> None:
    status = None if (check.name, "client", "reject") in CANNOT else REJECT
    assert await check("reject") == ["rejected", status]


async def test_client_opens_sessions_one_after_another(check: PeerClient, ours: OurServer) -> None:
    assert await check("sessions") is True
    assert len(ours.sessions) == 3

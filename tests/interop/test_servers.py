"""Independent implementations as servers, each in a process of its own, agree on the wire with our client.

`roster.KNOWN` says what a peer cannot do, or does otherwise. What else a peer is particular about stands in the program that adapts
it, under ``peers/``.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import web_transport

from tests.interop.conftest import Expectation, Start
from tests.interop.roster import PARAMETERS, Peer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the peers' programs listen for signals and standard input")

RESET, STOP, CLOSE, REJECT, SUBPROTOCOL = 5, 6, (7, "bye"), 404, "b"  # as in peers/common.py
PAYLOAD = bytes(range(250)) * 400
TIMEOUT = 20.0  # seconds for one test's conversation; the slowest takes two


class PeerServer:
    def __init__(self, peer: Peer, process: Process, port: int, certificate_hash: bytes, expect: Expectation) -> None:
        self.peer, self.expect = peer, expect
        self._process, self._certificate_hash = process, certificate_hash
        self._url = f"https://127.0.0.1:{port}"

    def client(self) -> web_transport.Client:
        return web_transport.Client(server_certificate_hashes=[self._certificate_hash])

    def url(self, path: str) -> str:
        return f"{self._url}{path}"

    @asynccontextmanager
    async def session(
        self, path: str = "/echo", *, subprotocols: Sequence[str] = (), timeout: float = TIMEOUT
    ) -> AsyncIterator[web_transport.Session]:
        url = self.url(path)
        async with asyncio.timeout(timeout), self.client() as client, await client.connect(url, subprotocols=subprotocols) as session:
            yield session

    async def saw(self, what: str) -> object:
        """What the server told of its clients next, of this kind."""
        assert self._process.stdout
        async with asyncio.timeout(TIMEOUT):
            while line := await self._process.stdout.readline():
                kind, value = json.loads(line)
                if kind == what:
                    return value
        raise AssertionError(f"{self.peer} ended without having seen a {what}")


@pytest.fixture(params=PARAMETERS)
async def server(
    request: pytest.FixtureRequest, start: Start, certificate: tuple[bytes, bytes], pem_files: tuple[Path, Path]
) -> AsyncIterator[PeerServer]:
    peer: Peer = request.param
    expect = Expectation(request, peer, "server")
    async with start(peer)("serve", "--cert", pem_files[0], "--key", pem_files[1]) as process:
        assert process.stdout
        async with asyncio.timeout(TIMEOUT):
            line = await process.stdout.readline()
        assert line.startswith(b"listening "), f"{peer} did not start: {line!r}"
        yield PeerServer(peer, process, int(line.split()[1]), web_transport.certificate_hash(certificate[0]), expect)


async def echo(session: web_transport.Session, data: bytes) -> bytes:
    send, recv = await session.open_bi()
    async with send:
        await send.write(data)
    return await recv.read()


@pytest.mark.feature("connect")
async def test_server_takes_a_session(server: PeerServer) -> None:
    async with server.session() as session:
        assert session.dialect == server.expect(server.peer.dialect)


@pytest.mark.feature("bidi")
async def test_server_echoes_a_bidirectional_stream(server: PeerServer) -> None:
    async with server.session() as session:
        assert await echo(session, PAYLOAD) == server.expect(PAYLOAD)


@pytest.mark.feature("uni")
async def test_server_echoes_a_unidirectional_stream(server: PeerServer) -> None:
    async with server.session() as session:
        async with await session.open_uni() as send:
            await send.write(PAYLOAD)
        recv = await session.accept_uni()
        assert await recv.read() == server.expect(PAYLOAD)


@pytest.mark.feature("datagram")
async def test_server_echoes_datagrams(server: PeerServer) -> None:
    async with server.session() as session:
        for size in (1, 1000):
            await session.send_datagram(b"d" * size)
            assert await session.receive_datagram() == server.expect(b"d" * size)


@pytest.mark.interop
@pytest.mark.deadline(120)
@pytest.mark.feature("transfer")
async def test_server_echoes_sixteen_mebibytes(server: PeerServer) -> None:
    sent, received, size = hashlib.sha256(), hashlib.sha256(), 0
    async with server.session(timeout=100) as session:
        send, recv = await session.open_bi()

        async def upload() -> None:
            async with send:
                for _ in range(256):
                    block = os.urandom(65536)
                    sent.update(block)
                    await send.write(block)

        with contextlib.suppress(ExceptionGroup):  # a server that gives up has not echoed all of it
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(upload())
                async for chunk in recv:
                    received.update(chunk)
                    size += len(chunk)
    assert (received.digest() if size == 16 << 20 else None) == server.expect(sent.digest())


@pytest.mark.feature("reset")
async def test_server_sees_our_reset_code(server: PeerServer) -> None:
    async with server.session() as session:
        send, recv = await session.open_bi()
        await send.write(b"x")
        assert await recv.readexactly(1) == b"x"
        send.reset(RESET)
        assert await server.saw("reset") == server.expect(RESET)


@pytest.mark.feature("stop")
async def test_server_sees_our_stop_code(server: PeerServer) -> None:
    async with server.session() as session:
        send, recv = await session.open_bi()
        await send.write(b"x")
        assert await recv.readexactly(1) == b"x"
        recv.stop(STOP)
        await send.write(b"y")  # a server learns of the stop when it answers this, if not before
        assert await server.saw("stop") == server.expect(STOP)


@pytest.mark.feature("reset_by_server")
async def test_we_see_a_servers_reset_code(server: PeerServer) -> None:
    async with server.session("/reset") as session:
        send, recv = await session.open_bi()
        await send.write(b"x")
        with pytest.raises(web_transport.StreamClosedByPeer) as caught:
            await recv.read()
        assert [caught.value.kind, caught.value.code] == server.expect(["reset", RESET])


@pytest.mark.feature("stop_by_server")
async def test_we_see_a_servers_stop_code(server: PeerServer) -> None:
    async with server.session("/reset") as session:
        send, _recv = await session.open_bi()
        await send.write(b"x")
        code = await send.wait_closed()
        with pytest.raises(web_transport.StreamClosedByPeer) as caught:
            await send.write(b"y")
        assert caught.value.code == code
        assert [caught.value.kind, caught.value.code] == server.expect(["stop", STOP])


@pytest.mark.feature("close")
async def test_server_sees_our_close(server: PeerServer) -> None:
    async with server.session() as session:
        session.close(*CLOSE)
        await session.wait_closed()
        assert await server.saw("close") == server.expect(list(CLOSE))


@pytest.mark.feature("close_by_server")
async def test_we_see_a_servers_close(server: PeerServer) -> None:
    async with server.session("/close") as session:
        send, _recv = await session.open_bi()
        await send.write(b"x")
        with pytest.raises(web_transport.SessionClosedByPeer) as caught:
            await session.receive_datagram()
        assert [caught.value.source, caught.value.code, caught.value.reason] == server.expect(["session", *CLOSE])


@pytest.mark.feature("reject")
async def test_we_see_a_servers_rejection(server: PeerServer) -> None:
    async with asyncio.timeout(TIMEOUT), server.client() as client:
        with pytest.raises(web_transport.ConnectError) as caught:
            await client.connect(server.url("/reject"))
    assert getattr(caught.value, "status_code", None) == server.expect(REJECT)


@pytest.mark.feature("subprotocol")
async def test_server_picks_a_subprotocol_of_ours(server: PeerServer) -> None:
    async with server.session(subprotocols=["a", SUBPROTOCOL]) as session:
        assert session.subprotocol == server.expect(SUBPROTOCOL)


@pytest.mark.feature("drain")
async def test_server_goes_on_after_our_drain(server: PeerServer) -> None:
    """WT §4.7: who is asked to drain decides itself; who does not know the capsule skips it (RFC 9297 §3.2)."""
    async with server.session() as session:
        session.drain()
        assert await echo(session, b"after the drain") == server.expect(b"after the drain")


@pytest.mark.feature("sessions")
async def test_server_takes_sessions_one_after_another(server: PeerServer) -> None:
    async with asyncio.timeout(TIMEOUT), server.client() as client:
        for number in range(3):
            async with await client.connect(server.url("/echo")) as session:
                assert await echo(session, b"%d" % number) == server.expect(b"%d" % number)


@pytest.mark.feature("side_by_side")
async def test_server_takes_sessions_at_the_same_time(server: PeerServer) -> None:
    async with asyncio.timeout(TIMEOUT), server.client() as client:
        sessions = await asyncio.gather(*(client.connect(server.url("/echo")) for _ in range(3)))
        for number, session in enumerate(sessions):
            await session.send_datagram(b"%d" % number)
        assert await asyncio.gather(*(session.receive_datagram() for session in sessions)) == server.expect([b"0", b"1", b"2"])


@pytest.mark.feature("pool")
async def test_server_takes_sessions_at_the_same_time_on_one_connection(server: PeerServer) -> None:
    async with asyncio.timeout(TIMEOUT), server.client() as client:
        sessions = [await client.connect(server.url("/echo"), pool=True) for _ in range(3)]
        assert client.stats().connections == 1
        answers = await asyncio.gather(*(echo(session, b"%d" % number) for number, session in enumerate(sessions)))
        assert answers == server.expect([b"0", b"1", b"2"])

"""Independent implementations as clients, each in a process of its own, agree on the wire with our server.

`roster.KNOWN` says what a peer cannot do, or does otherwise. What else a peer is particular about stands in the program that adapts
it, under ``peers/``.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import pytest
import web_transport

from tests.interop.conftest import Expectation, Start
from tests.interop.ours import CLOSE, REJECT, RESET, STOP, SUBPROTOCOL, TIMEOUT, OurServer, serving
from tests.interop.roster import PARAMETERS, Peer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the peers' programs listen for signals and standard input")


@pytest.fixture
async def ours(certificate: tuple[bytes, bytes]) -> AsyncIterator[OurServer]:
    async with serving(certificate) as server:
        yield server


class PeerClient:
    """Runs the checks of a peer against our server."""

    def __init__(self, peer: Peer, start: Start, port: int, expect: Expectation) -> None:
        self.peer, self.expect = peer, expect
        self._start, self._port = start(peer), port

    async def __call__(self, check: str, timeout: float = TIMEOUT) -> object:
        async with self._start("connect", f"https://127.0.0.1:{self._port}", check) as process:
            async with asyncio.timeout(timeout):
                output, _ = await process.communicate()
        return json.loads(output)[check]


@pytest.fixture(params=PARAMETERS)
def check(request: pytest.FixtureRequest, start: Start, ours: OurServer) -> PeerClient:
    return PeerClient(request.param, start, ours.port, Expectation(request, request.param, "client"))


@pytest.mark.feature("connect")
async def test_client_opens_a_session(check: PeerClient, ours: OurServer) -> None:
    result = await check("bidi")
    assert (ours.sessions[0].dialect if result is True else result) == check.expect(check.peer.dialect)


@pytest.mark.feature("bidi")
async def test_client_gets_a_bidirectional_echo(check: PeerClient) -> None:
    assert await check("bidi") is check.expect(True)


@pytest.mark.feature("uni")
async def test_client_gets_a_unidirectional_echo(check: PeerClient) -> None:
    assert await check("uni") is check.expect(True)


@pytest.mark.feature("datagram")
async def test_client_gets_its_datagrams_back(check: PeerClient) -> None:
    assert await check("datagram") is check.expect(True)


@pytest.mark.interop
@pytest.mark.deadline(120)
@pytest.mark.feature("transfer")
async def test_client_gets_sixteen_mebibytes_back(check: PeerClient) -> None:
    assert await check("transfer", timeout=100) == check.expect(True)


@pytest.mark.feature("reset")
async def test_we_see_a_clients_reset_code(check: PeerClient, ours: OurServer) -> None:
    assert await check("reset") is True
    assert await ours.saw("reset") == check.expect(RESET)


@pytest.mark.feature("stop")
async def test_we_see_a_clients_stop_code(check: PeerClient, ours: OurServer) -> None:
    assert await check("stop") is True
    assert await ours.saw("stop") == check.expect(STOP)


@pytest.mark.feature("reset_by_server")
async def test_client_sees_our_reset_code(check: PeerClient) -> None:
    assert await check("reset_by_server") == check.expect(["reset", RESET])


@pytest.mark.feature("stop_by_server")
async def test_client_sees_our_stop_code(check: PeerClient) -> None:
    assert await check("stop_by_server") == check.expect(["stop", STOP])


@pytest.mark.feature("close")
async def test_we_see_a_clients_close(check: PeerClient, ours: OurServer) -> None:
    assert await check("close") is True
    closed = await ours.saw("close")
    assert isinstance(closed, web_transport.SessionClosedByPeer)
    assert [closed.source, closed.code, closed.reason] == check.expect(["session", *CLOSE])


@pytest.mark.feature("close_by_server")
async def test_client_sees_our_close(check: PeerClient) -> None:
    assert await check("close_by_server") == check.expect(list(CLOSE))


@pytest.mark.feature("reject")
async def test_client_sees_our_rejection(check: PeerClient) -> None:
    assert await check("reject") == check.expect(["rejected", REJECT])


@pytest.mark.feature("subprotocol")
async def test_client_agrees_on_a_subprotocol(check: PeerClient, ours: OurServer) -> None:
    assert await check("subprotocol") == check.expect(SUBPROTOCOL)
    assert ours.sessions[0].subprotocol == SUBPROTOCOL


@pytest.mark.feature("drain")
async def test_client_goes_on_after_our_drain(check: PeerClient) -> None:
    """WT §4.7: who is asked to drain decides itself; who does not know the capsule skips it (RFC 9297 §3.2)."""
    assert await check("drain") is check.expect(True)


@pytest.mark.feature("sessions")
async def test_client_opens_sessions_one_after_another(check: PeerClient, ours: OurServer) -> None:
    assert await check("sessions") is check.expect(True)
    assert len(ours.sessions) == 3


@pytest.mark.feature("pool")
async def test_client_opens_sessions_at_the_same_time_on_one_connection(check: PeerClient, ours: OurServer) -> None:
    assert await check("pool") is check.expect(True)
    assert len(ours.sessions) == 3
    assert len({session.remote_address for session in ours.sessions}) == 1

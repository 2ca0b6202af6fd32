"""Browsers as clients agree on the wire with our server, row by row as the other clients do.

`roster.KNOWN` says what a browser cannot do, or does otherwise; ``tests/browsers`` looks at much more.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import web_transport

from tests.browsers.browser import LAUNCHERS, Browser, Page, PageError
from tests.browsers.meeting import serve_page, visit
from tests.interop.conftest import Expectation
from tests.interop.ours import CLOSE, REJECT, RESET, STOP, SUBPROTOCOL, OurServer, serving
from tests.interop.roster import BROWSERS, Peer, browser

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]

# What a check can use: a session of a path, whether a stream comes back, and a stream that both sides know and neither has finished.
CHECK = """async (connect) => {
    const bytes = (size) => Uint8Array.from({length: size}, (_, i) => i %% 250);
    const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
    const echoes = async (transport, data) => {
        const stream = await transport.createBidirectionalStream();
        const [answer] = await Promise.all([receive(stream.readable), send(stream.writable, data)]);
        return equal(answer, data);
    };
    const halfOpen = async (transport, answered) => {
        const stream = await transport.createBidirectionalStream();
        const writer = stream.writable.getWriter(), reader = stream.readable.getReader();
        await writer.write(bytes(1));
        if (answered) await reader.read();
        return {writer, reader};
    };
    return (%s)();
}"""

CHECKS = {
    "bidi": "async () => echoes(await connect('/echo'), bytes(100000))",
    "uni": """async () => {
        const transport = await connect("/echo");
        await send(await transport.createUnidirectionalStream(), bytes(100000));
        return equal(await receive(await first(transport.incomingUnidirectionalStreams)), bytes(100000));
    }""",
    "datagram": """async () => {
        const transport = await connect("/echo");
        const reader = transport.datagrams.readable.getReader(), writer = datagramWriter(transport);
        for (const size of [1, 1000]) {
            await writer.write(bytes(size));
            if (!equal((await reader.read()).value, bytes(size))) return false;
        }
        return true;
    }""",
    "transfer": "async () => echoes(await connect('/echo'), bytes(16 << 20))",
    "reset": """async () => {
        const transport = await connect("/echo");
        await (await halfOpen(transport, true)).writer.abort(streamError(5));
        return echoes(transport, bytes(4));
    }""",
    "stop": """async () => {
        const transport = await connect("/echo");
        const {reader, writer} = await halfOpen(transport, true);
        await reader.cancel(streamError(6));
        await writer.write(bytes(1)); // a server learns of the stop when it answers this, if not before
        const synced = await echoes(transport, bytes(4));
        transport.close();
        return synced;
    }""",
    "reset_by_server": """async () => {
        const {reader} = await halfOpen(await connect("/reset"), false); // Firefox tells the code only to who has not read
        return ["reset", (await reader.closed.catch((error) => error)).streamErrorCode];
    }""",
    "stop_by_server": """async () => {
        const {writer} = await halfOpen(await connect("/reset"), false);
        while (true) {
            try { await writer.write(bytes(1)); } catch (error) { return ["stop", error.streamErrorCode ?? null]; }
            await new Promise((resolve) => setTimeout(resolve, 20)); // until the server's answer is here
        }
    }""",
    "close": """async () => {
        const transport = await connect("/echo");
        await echoes(transport, bytes(4));
        transport.close({closeCode: 7, reason: "bye"});
        await transport.closed;
        return true;
    }""",
    "close_by_server": """async () => {
        const transport = await connect("/close");
        await halfOpen(transport, false);
        const {closeCode, reason} = await transport.closed;
        return [closeCode, reason];
    }""",
    "subprotocol": "async () => (await connect('/echo', {protocols: ['a', 'b']})).protocol",
    "drain": """async () => {
        const transport = await connect("/drain");
        await halfOpen(transport, true);
        return echoes(transport, bytes(4));
    }""",
    "sessions": """async () => {
        for (let number = 0; number < 3; number++) {
            const transport = await connect("/echo");
            if (!await echoes(transport, bytes(1 + number))) return false;
            transport.close();
        }
        return true;
    }""",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=BROWSERS)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """Each browser in turn, one process for all tests."""
    async with LAUNCHERS[request.param]() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site() -> AsyncIterator[str]:
    async with serve_page() as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def ours(certificate: tuple[bytes, bytes]) -> AsyncIterator[OurServer]:
    async with serving(certificate) as server:
        yield server


class PageClient:
    """Runs checks in a fresh page against our server."""

    def __init__(self, peer: Peer, page: Page, port: int, digest: bytes, expect: Expectation) -> None:
        self.peer, self.expect = peer, expect
        self._page, self._origin, self._digest = page, f"https://127.0.0.1:{port}", digest

    async def __call__(self, check: str) -> Any:
        return await visit(self._page, self._origin, self._digest, CHECK % CHECKS.get(check, check))


@pytest_asyncio.fixture(loop_scope="session")
async def check(
    request: pytest.FixtureRequest, running: Browser, site: str, ours: OurServer, certificate: tuple[bytes, bytes]
) -> AsyncIterator[PageClient]:
    peer = browser(running.name)
    expect = Expectation(request, peer, "client")
    async with running.page(site) as page:
        yield PageClient(peer, page, ours.port, web_transport.certificate_hash(certificate[0]), expect)


@pytest.mark.feature("connect")
async def test_page_opens_a_session(check: PageClient, ours: OurServer) -> None:
    await check("bidi")
    assert ours.sessions[0].dialect == check.expect(check.peer.dialect)


@pytest.mark.parametrize(
    "feature",
    [pytest.param(name, marks=pytest.mark.feature(name)) for name in ("bidi", "uni", "datagram", "transfer", "drain", "sessions")],
)
async def test_page_gets_its_answers(check: PageClient, feature: str) -> None:
    assert await check(feature) is check.expect(True)


@pytest.mark.feature("reset")
async def test_we_see_a_pages_reset_code(check: PageClient, ours: OurServer) -> None:
    assert await check("reset") is True
    assert await ours.saw("reset") == check.expect(RESET)


@pytest.mark.feature("stop")
async def test_we_see_a_pages_stop_code(check: PageClient, ours: OurServer) -> None:
    assert await check("stop") is True
    assert await ours.saw("stop") == check.expect(STOP)


@pytest.mark.feature("reset_by_server")
async def test_page_sees_our_reset_code(check: PageClient) -> None:
    assert await check("reset_by_server") == check.expect(["reset", RESET])


@pytest.mark.feature("stop_by_server")
async def test_page_sees_our_stop_code(check: PageClient) -> None:
    assert await check("stop_by_server") == check.expect(["stop", STOP])


@pytest.mark.feature("close")
async def test_we_see_a_pages_close(check: PageClient, ours: OurServer) -> None:
    assert await check("close") is True
    closed = await ours.saw("close")
    assert isinstance(closed, web_transport.SessionClosedByPeer)
    assert [closed.source, closed.code, closed.reason] == check.expect(["session", *CLOSE])


@pytest.mark.feature("close_by_server")
async def test_page_sees_our_close(check: PageClient) -> None:
    assert await check("close_by_server") == check.expect(list(CLOSE))


@pytest.mark.feature("reject")
async def test_page_sees_our_rejection(check: PageClient) -> None:
    with pytest.raises(PageError) as caught:
        await check("async () => connect('/reject')")
    assert ["rejected", REJECT if str(REJECT) in caught.value.message else None] == check.expect(["rejected", REJECT])


@pytest.mark.feature("subprotocol")
async def test_page_agrees_on_a_subprotocol(check: PageClient) -> None:
    assert await check("subprotocol") == check.expect(SUBPROTOCOL)


@pytest.mark.feature("pool")
async def test_page_opens_sessions_at_the_same_time_on_one_connection(check: PageClient) -> None:
    raise AssertionError("no browser offers it")

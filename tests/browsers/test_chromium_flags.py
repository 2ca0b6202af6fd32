"""Chromium with what it has behind flags: more of the WebTransport interface, and draft-07 beside draft-02."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from web_transport import Headers, Session, StreamClosedByPeer

from tests.browsers.browser import Browser, launch_chromium
from tests.browsers.meeting import Meeting

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]

FLAGS = {
    "draft-02": ["--enable-experimental-web-platform-features"],
    "draft-07": ["--enable-experimental-web-platform-features", "--enable-features=EnableWebTransportDraft07"],
}

GO_ON_AFTER_DRAINING = """async (connect) => {
    const transport = await connect();
    await transport.draining;
    const {readable, writable} = await transport.createBidirectionalStream();
    await send(writable, "still here");
    return receiveText(readable);
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=FLAGS)
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """Chromium with more of the interface, and as the newest version that it speaks each of those that it can."""
    async with launch_chromium(*FLAGS[request.param]) as browser:
        yield browser


@pytest.fixture
def dialect(request: pytest.FixtureRequest) -> str:
    """The newest version that this browser and we speak."""
    return str(request.node.callspec.params["browser"])


async def echo(session: Session) -> str:
    send, recv = await session.accept_bi()
    async with send:
        await send.write(await recv.read())
    return session.dialect


async def test_echo_in_the_newest_version_of_both(meet: Meeting, dialect: str) -> None:
    """WT §7.1: the newest version that both sides speak is used."""
    answer, spoken = await meet(
        """async (connect) => {
            const {readable, writable} = await (await connect()).createBidirectionalStream();
            await send(writable, "hello");
            return receiveText(readable);
        }""",
        echo,
    )
    assert (answer, spoken) == ("hello", dialect)


async def test_datagrams(meet: Meeting) -> None:
    """WT §4.5: a datagram there and back."""

    async def serve(session: Session) -> None:
        await session.send_datagram(await session.receive_datagram())

    answer, _ = await meet(
        """async (connect) => {
            const transport = await connect();
            await datagramWriter(transport).write(new Uint8Array([1, 2, 3]));
            return Array.from((await transport.datagrams.readable.getReader().read()).value);
        }""",
        serve,
    )
    assert answer == [1, 2, 3]


async def test_codes_both_ways(meet: Meeting) -> None:
    """WT §4.4: a reset's code survives its mapping, in either direction."""

    async def serve(session: Session) -> int | None:
        send, recv = await session.accept_bi()
        await send.write(await recv.readexactly(1))
        with pytest.raises(StreamClosedByPeer) as reset:
            await recv.read()
        send.reset(1000)
        return reset.value.code

    page_saw, we_saw = await meet(
        """async (connect) => {
            const {readable, writable} = await (await connect()).createBidirectionalStream();
            const writer = writable.getWriter(), reader = readable.getReader();
            await writer.write(new Uint8Array(1));
            await reader.read();
            await writer.abort(streamError(42));
            return reader.read().then(() => "read", (error) => error.streamErrorCode);
        }""",
        serve,
    )
    assert (page_saw, we_saw) == (1000, 42)


async def test_close_of_the_server(meet: Meeting) -> None:
    """WT §6: code and reason resolve ``closed``."""

    async def serve(session: Session) -> None:
        session.close(7, "bye")

    closed, _ = await meet(
        """async (connect) => {
            const {closeCode, reason} = await (await connect()).closed;
            return [closeCode, reason];
        }""",
        serve,
    )
    assert closed == [7, "bye"]


async def test_session_drains(meet: Meeting) -> None:
    """WT §4.7: WT_DRAIN_SESSION resolves ``draining``, and the session goes on."""

    async def serve(session: Session) -> None:
        session.drain()
        await echo(session)

    answer, _ = await meet(GO_ON_AFTER_DRAINING, serve)
    assert answer == "still here"


async def test_server_drains(meet: Meeting) -> None:
    """WT §4.7: so does a server that goes away. It sends browsers no GOAWAY, which costs Chromium all its sessions."""

    async def serve(session: Session) -> None:
        meet.server.drain()
        await echo(session)

    answer, _ = await meet(GO_ON_AFTER_DRAINING, serve)
    assert answer == "still here"


async def test_headers_both_ways(meet: Meeting) -> None:
    """W3C: the page's own request headers arrive, and it reads those of the answer."""

    async def serve() -> Headers:
        request = await meet.server.accept()
        assert request is not None
        async with await request.accept(headers={"x-answer": "forty-two"}) as session:
            await session.accept_bi()
        return request.headers

    async with asyncio.TaskGroup() as group:
        visiting = group.create_task(
            meet.visit(
                """async (connect) => {
                    const transport = await connect("/", {headers: {"authorization": "Bearer token", "x-question": "what"}});
                    await transport.createBidirectionalStream();
                    return transport.responseHeaders.get("x-answer");
                }"""
            )
        )
        serving = group.create_task(serve())
    assert visiting.result() == "forty-two"
    headers = serving.result()
    assert (headers.get("authorization"), headers.get("x-question")) == ("Bearer token", "what")


async def test_statistics(meet: Meeting) -> None:
    """W3C: ``getStats`` tells of the connection to us; this Chromium counts no bytes."""

    stats, _ = await meet(
        """async (connect) => {
            const transport = await connect();
            const {readable, writable} = await transport.createBidirectionalStream();
            await send(writable, "x".repeat(1000));
            await receiveText(readable);
            const {minRtt, smoothedRtt, datagrams} = await transport.getStats();
            return [minRtt, smoothedRtt, datagrams.droppedIncoming];
        }""",
        echo,
    )
    assert min(stats[:2]) > 0
    assert stats[2] == 0

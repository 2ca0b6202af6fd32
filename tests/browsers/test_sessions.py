"""How sessions with a real page begin and end."""

import asyncio

import pytest
from web_transport import Session, SessionClosedByPeer

from tests.browsers.browser import Browser, PageError
from tests.browsers.meeting import Meeting

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]


async def closed_by_page(session: Session) -> SessionClosedByPeer:
    """Wait until the page closes the session, and return the error that says how."""
    with pytest.raises(SessionClosedByPeer) as closed:
        await session.accept_bi()
    return closed.value


async def test_session_as_the_page_asked_for_it(meet: Meeting) -> None:
    """WT §3.2: the request says what the page's URL said; both browsers speak draft-02."""
    async with asyncio.TaskGroup() as group:
        group.create_task(meet.visit("async (connect) => { await connect('/path?query=1') }"))
        request = await meet.server.accept()
        assert request is not None
        session = await request.accept()
    assert request.url == f"https://127.0.0.1:{meet.server.local_addr[1]}/path?query=1"
    assert session.dialect == "draft-02"


async def test_page_and_server_agree_on_a_subprotocol(meet: Meeting, browser: Browser) -> None:
    """WT §3.3: the server picks of what the page offers, and the page learns what."""
    if browser.name == "firefox":
        pytest.skip("this Firefox offers no subprotocols")

    async def serve() -> list[str]:
        request = await meet.server.accept()
        assert request is not None
        async with await request.accept(subprotocol="b") as session:
            await session.accept_bi()
            assert session.subprotocol == "b"
        return request.subprotocols

    async with asyncio.TaskGroup() as group:
        visiting = group.create_task(
            meet.visit(
                """async (connect) => {
                    const transport = await connect("/", {protocols: ["a", "b"]});
                    await transport.createBidirectionalStream();
                    return transport.protocol;
                }"""
            )
        )
        serving = group.create_task(serve())
    assert (visiting.result(), serving.result()) == ("b", ["a", "b"])


async def test_page_closes(meet: Meeting) -> None:
    """WT §6: the page's code and reason arrive at the server."""
    _, closed = await meet(
        """async (connect) => {
            const transport = await connect();
            transport.close({closeCode: 7, reason: "bye"});
            await transport.closed;
        }""",
        closed_by_page,
    )
    assert (closed.source, closed.code, closed.reason) == ("session", 7, "bye")


async def test_page_closes_while_a_stream_is_open(meet: Meeting) -> None:
    """A stop that is part of the session's end is told as that: browsers send it with 0x10f or 0x10c, perhaps ahead of the close."""

    async def serve(session: Session) -> SessionClosedByPeer:
        send = await session.open_uni()
        with pytest.raises(SessionClosedByPeer) as closed:
            while True:
                await send.write(bytes(1024))
        return closed.value

    _, closed = await meet(
        """async (connect) => {
            const transport = await connect();
            const reader = (await first(transport.incomingUnidirectionalStreams)).getReader();
            await reader.read();
            transport.close({closeCode: 7, reason: "bye"});
            await transport.closed;
        }""",
        serve,
    )
    assert (closed.source, closed.code, closed.reason) == ("session", 7, "bye")


async def test_server_closes(meet: Meeting) -> None:
    """WT §6: the server's code and reason resolve the page's ``closed``."""

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


async def test_server_rejects(meet: Meeting) -> None:
    """WT §3.3: without a 2xx answer there is no session."""

    async def reject() -> None:
        request = await meet.server.accept()
        assert request is not None
        await request.reject(404)

    with pytest.raises(PageError) as rejected:
        await asyncio.gather(meet.visit("async (connect) => { await connect('/nowhere') }"), reject())
    assert (rejected.value.name, rejected.value.source) == ("WebTransportError", "session")


async def test_several_sessions_of_one_page(meet: Meeting) -> None:
    """Sessions live side by side, and each closes alone."""

    async def serve(session: Session) -> str:
        send, recv = await session.accept_bi()
        async with send:
            await send.write(await recv.read())
        return (await closed_by_page(session)).reason

    async with asyncio.TaskGroup() as group:
        visiting = group.create_task(
            meet.visit(
                """async (connect) => {
                    const transports = await Promise.all(["/a", "/b", "/c"].map(connect));
                    const answers = [];
                    for (const [number, transport] of transports.entries()) {
                        const {readable, writable} = await transport.createBidirectionalStream();
                        await send(writable, `session ${number}`);
                        answers.push(await receiveText(readable));
                        transport.close({closeCode: number, reason: `bye ${number}`});
                        await transport.closed;
                    }
                    return answers;
                }"""
            )
        )
        serving = [group.create_task(serve(await meet.session())) for _ in range(3)]
    assert visiting.result() == ["session 0", "session 1", "session 2"]
    assert sorted(served.result() for served in serving) == ["bye 0", "bye 1", "bye 2"]


async def test_a_draining_server_lets_the_session_go_on(meet: Meeting) -> None:
    """WT §4.7: the page opens streams as before, and closes when it likes. Chromium's could not after a GOAWAY, so there is none."""

    async def serve(session: Session) -> SessionClosedByPeer:
        _, before = await session.accept_bi()
        assert await before.read() == b"before"
        meet.server.drain()
        await (await session.open_uni()).finish()
        send, recv = await session.accept_bi()
        async with send:
            await send.write(await recv.read())
        return await closed_by_page(session)

    answer, closed = await meet(
        """async (connect) => {
            const transport = await connect();
            await send((await transport.createBidirectionalStream()).writable, "before");
            await receive(await first(transport.incomingUnidirectionalStreams));
            const {readable, writable} = await transport.createBidirectionalStream();
            await send(writable, "after");
            const answer = await receiveText(readable);
            transport.close({closeCode: 7, reason: "bye"});
            await transport.closed;
            return answer;
        }""",
        serve,
    )
    assert answer == "after"
    assert (closed.source, closed.code, closed.reason) == ("session", 7, "bye")


async def test_page_navigates_away(meet: Meeting, browser: Browser, site: str) -> None:
    """A session ends with its page."""
    if browser.name == "firefox":
        pytest.skip("Firefox keeps the session of a page that is gone, and answers for it")
    async with asyncio.TaskGroup() as group:
        group.create_task(meet.visit("async (connect) => { await connect() }"))
        session = await meet.session()
    await meet.page.navigate(site + "/elsewhere")
    closed = await closed_by_page(session)
    assert (closed.source, closed.code, closed.reason) == ("session", 0, "")

"""Streams between a real page and our server: every kind, opened by either side, to its end or broken off."""

import hashlib

import pytest
from web_transport import Session, StreamClosedByPeer

from tests.browsers.browser import Browser
from tests.browsers.meeting import Meeting

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]


async def echo_bi(session: Session) -> bytes:
    """Send the session's next bidirectional stream back, and return what came over it."""
    send, recv = await session.accept_bi()
    async with send, recv:
        data = await recv.read()
        await send.write(data)
    return data


async def test_page_opens_bidirectional_stream(meet: Meeting) -> None:
    """WT §4.3: both directions of a stream that the client opened."""
    answer, received = await meet(
        """async (connect) => {
            const {readable, writable} = await (await connect()).createBidirectionalStream();
            await send(writable, "hello");
            return receiveText(readable);
        }""",
        echo_bi,
    )
    assert (received, answer) == (b"hello", "hello")


async def test_server_opens_bidirectional_stream(meet: Meeting) -> None:
    """WT §4.3: both directions of a stream that the server opened."""

    async def serve(session: Session) -> bytes:
        send, recv = await session.open_bi()
        async with send, recv:
            await send.write(b"hello")
            await send.finish()
            return await recv.read()

    received, answer = await meet(
        """async (connect) => {
            const transport = await connect();
            const {readable, writable} = await first(transport.incomingBidirectionalStreams);
            const text = await receiveText(readable);
            await send(writable, text + ", server");
            return text;
        }""",
        serve,
    )
    assert (received, answer) == ("hello", b"hello, server")


async def test_unidirectional_streams(meet: Meeting) -> None:
    """WT §4.2: one of each side, the server's as the answer to the page's."""

    async def serve(session: Session) -> bytes:
        recv = await session.accept_uni()
        async with recv, await session.open_uni() as send:
            data = await recv.read()
            await send.write(data)
        return data

    answer, received = await meet(
        """async (connect) => {
            const transport = await connect();
            await send(await transport.createUnidirectionalStream(), "one way");
            return receiveText(await first(transport.incomingUnidirectionalStreams));
        }""",
        serve,
    )
    assert (received, answer) == (b"one way", "one way")


async def test_server_opens_unidirectional_stream_first(meet: Meeting) -> None:
    """WT §4.2: a server may open streams as soon as it has answered, before it hears more of the client."""

    async def serve(session: Session) -> bytes:
        async with await session.open_uni() as send:
            await send.write(b"welcome")
        return await (await session.accept_uni()).read()

    received, answer = await meet(
        """async (connect) => {
            const transport = await connect();
            const text = await receiveText(await first(transport.incomingUnidirectionalStreams));
            await send(await transport.createUnidirectionalStream(), text);
            return text;
        }""",
        serve,
    )
    assert (received, answer) == ("welcome", b"welcome")


async def test_one_mebibyte_arrives_intact_both_ways(meet: Meeting) -> None:
    """Several flow control windows' worth of bytes, in order and complete."""
    sent, received = await meet(
        """async (connect) => {
            const {readable, writable} = await (await connect()).createBidirectionalStream();
            const data = new Uint8Array(1 << 20);
            for (let start = 0; start < data.length; start += 65536) {  // the most that one call fills
                crypto.getRandomValues(data.subarray(start, start + 65536));
            }
            const [echo] = await Promise.all([receive(readable), send(writable, data)]);
            const digests = await Promise.all([data, echo].map((bytes) => crypto.subtle.digest("SHA-256", bytes)));
            return digests.map((digest) => Array.from(new Uint8Array(digest)));
        }""",
        echo_bi,
    )
    assert len(received) == 1 << 20
    assert [bytes(digest) for digest in sent] == [hashlib.sha256(received).digest()] * 2


async def test_three_hundred_streams_in_turn(meet: Meeting) -> None:
    """WT §5.3, RFC 9000 §4.6: the stream limit is raised as streams end."""

    async def serve(session: Session) -> None:
        for _ in range(300):
            await echo_bi(session)

    answers, _ = await meet(
        """async (connect) => {
            const transport = await connect();
            const answers = [];
            for (let number = 0; number < 300; number++) {
                const {readable, writable} = await transport.createBidirectionalStream();
                await send(writable, `stream ${number}`);
                answers.push(await receiveText(readable));
            }
            return answers;
        }""",
        serve,
    )
    assert answers == [f"stream {number}" for number in range(300)]


async def test_empty_unidirectional_stream_of_the_server(meet: Meeting) -> None:
    """An empty stream is a stream; Firefox drops the connection if header and FIN come together, so they must not."""

    async def serve(session: Session) -> None:
        async with await session.open_uni():
            pass
        await echo_bi(session)

    answer, _ = await meet(
        """async (connect) => {
            const transport = await connect();
            const empty = await receive(await first(transport.incomingUnidirectionalStreams));
            const {readable, writable} = await transport.createBidirectionalStream();
            await send(writable, "still here");
            return [empty.length, await receiveText(readable)];
        }""",
        serve,
    )
    assert answer == [0, "still here"]


async def test_page_aborts_its_stream(meet: Meeting) -> None:
    """WT §4.4: the code of a reset survives its mapping into HTTP/3's code space."""

    async def serve(session: Session) -> StreamClosedByPeer:
        send, recv = await session.accept_bi()
        async with send:
            await send.write(await recv.readexactly(1))
        with pytest.raises(StreamClosedByPeer) as broken:
            await recv.read()
        return broken.value

    _, broken = await meet(
        """async (connect) => {
            const {readable, writable} = await (await connect()).createBidirectionalStream();
            const writer = writable.getWriter();
            await writer.write(new Uint8Array(1));
            await receive(readable);  // so the server knows the stream before it is reset
            await writer.abort(streamError(42));
        }""",
        serve,
    )
    assert (broken.kind, broken.code) == ("reset", 42)


async def test_page_cancels_the_servers_stream(meet: Meeting, browser: Browser) -> None:
    """WT §4.4: the code of a stop arrives."""
    if browser.name == "firefox":
        pytest.skip("Firefox tells the peer of a cancelled stream only when the session ends")

    async def serve(session: Session) -> StreamClosedByPeer:
        send = await session.open_uni()
        with pytest.raises(StreamClosedByPeer) as broken:
            while True:
                await send.write(bytes(1024))
        return broken.value

    _, broken = await meet(
        """async (connect) => {
            const reader = (await first((await connect()).incomingUnidirectionalStreams)).getReader();
            await reader.read();
            await reader.cancel(streamError(42));
        }""",
        serve,
    )
    assert (broken.kind, broken.code) == ("stop", 42)


async def test_server_resets_the_answer_to_a_page(meet: Meeting) -> None:
    """WT §4.4: the code arrives on a stream of the page; Firefox shows it only if nothing was read before."""

    async def serve(session: Session) -> None:
        send, recv = await session.accept_bi()
        await recv.readexactly(1)
        send.reset(42)

    code, _ = await meet(
        """async (connect) => {
            const {readable, writable} = await (await connect()).createBidirectionalStream();
            await writable.getWriter().write(new Uint8Array(1));
            return readable.getReader().closed.then(() => "finished", (error) => error.streamErrorCode);
        }""",
        serve,
    )
    assert code == 42


async def test_server_resets_its_stream(meet: Meeting) -> None:
    """WT §4.4: the code arrives on a stream of the server that the page is reading from."""

    async def serve(session: Session) -> None:
        send = await session.open_uni()
        await send.write(bytes(1))
        await (await session.accept_uni()).read()  # not dropped unread, which would stop it
        send.reset(42)

    code, _ = await meet(
        """async (connect) => {
            const transport = await connect();
            const reader = (await first(transport.incomingUnidirectionalStreams)).getReader();
            await reader.read();
            await send(await transport.createUnidirectionalStream(), "reset it");
            return reader.read().then(() => "read", (error) => error.streamErrorCode);
        }""",
        serve,
    )
    assert code == 42


async def test_server_stops_the_pages_stream(meet: Meeting) -> None:
    """WT §4.4: the page learns the code of a STOP_SENDING."""

    async def serve(session: Session) -> None:
        recv = await session.accept_uni()
        await recv.readexactly(1)
        recv.stop(42)

    code, _ = await meet(
        """async (connect) => {
            const writer = (await (await connect()).createUnidirectionalStream()).getWriter();
            await writer.write(new Uint8Array(1));
            return writer.closed.then(() => "finished", (error) => error.streamErrorCode);
        }""",
        serve,
    )
    assert code == 42

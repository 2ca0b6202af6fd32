"""Datagrams between a real page and our server."""

import pytest
from web_transport import Session

from tests.browsers.meeting import Meeting

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]


async def test_page_sends_first(meet: Meeting) -> None:
    """WT §4.5: a datagram there and back."""

    async def serve(session: Session) -> bytes:
        data = await session.receive_datagram()
        await session.send_datagram(data)
        return data

    answer, received = await meet(
        """async (connect) => {
            const transport = await connect();
            const reading = first(transport.datagrams.readable);
            await datagramWriter(transport).write(new TextEncoder().encode("ping"));
            return new TextDecoder().decode(await reading);
        }""",
        serve,
    )
    assert (received, answer) == (b"ping", "ping")


async def test_server_sends_first(meet: Meeting) -> None:
    """Browsers drop a datagram that overtakes the answer to CONNECT, so one sent right after ``accept`` must not."""

    async def serve(session: Session) -> bytes:
        await session.send_datagram(b"welcome")
        return await session.receive_datagram()

    received, answer = await meet(
        """async (connect) => {
            const transport = await connect();
            const data = await first(transport.datagrams.readable);
            await datagramWriter(transport).write(data);
            return new TextDecoder().decode(data);
        }""",
        serve,
    )
    assert (received, answer) == ("welcome", b"welcome")


async def test_largest_datagram_reaches_the_page(meet: Meeting) -> None:
    """What ``max_datagram_size`` promises, the page gets whole."""

    async def serve(session: Session) -> int:
        await session.receive_datagram()
        size = session.max_datagram_size
        await session.send_datagram(bytes(size))
        return size

    received, sent = await meet(
        """async (connect) => {
            const transport = await connect();
            const reading = first(transport.datagrams.readable);
            await datagramWriter(transport).write(new Uint8Array(1));
            return (await reading).length;
        }""",
        serve,
    )
    assert received == sent

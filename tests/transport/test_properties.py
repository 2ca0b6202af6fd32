"""Any sequence of calls on a stream: what is read is what was written, to the last byte, and every end is what it was."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import web_transport
from hypothesis import given, settings
from hypothesis import strategies as st
from web_transport import Client, RecvStream, SendStream, Server, StreamClosedByPeer, StreamClosedLocally

SIZES = st.integers(0, 100) | st.integers(0, 20_000)
CODES = st.integers(0, 2**32 - 1)
STEPS = st.one_of(
    st.tuples(st.just("write"), SIZES),
    st.tuples(st.just("read"), st.integers(1, 5000)),
    st.tuples(st.just("readexactly"), SIZES),
    st.tuples(st.just("cancelled read"), st.integers(1, 5000)),
    st.tuples(st.just("turns of the loop"), st.integers(1, 5)),
)
ENDS = st.one_of(
    st.tuples(st.just("finish"), st.just(0)),
    st.tuples(st.just("reset"), CODES),
    st.tuples(st.just("stop"), CODES),
)


@asynccontextmanager
async def stream(certificate: tuple[bytes, bytes]) -> AsyncIterator[tuple[SendStream, RecvStream]]:
    async with (
        Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0") as server,
        Client(server_certificate_hashes=[web_transport.certificate_hash(certificate[0])]) as client,
    ):
        connecting = asyncio.create_task(client.connect(f"https://127.0.0.1:{server.local_addr[1]}/"))
        request = await server.accept()
        assert request is not None
        accepted = await request.accept()
        send = await (await connecting).open_uni()
        yield send, await accepted.accept_uni()


def content(start: int, end: int) -> bytes:
    """The bytes that are written from *start* to *end*."""
    return bytes((at * 7 + at // 251) % 256 for at in range(start, end))


class Play:
    """Both ends of a stream, and how far they are."""

    def __init__(self, send: SendStream, recv: RecvStream) -> None:
        self.send, self.recv = send, recv
        self.written = self.read = 0

    def check(self, data: bytes) -> None:
        assert data == content(self.read, self.read + len(data))
        self.read += len(data)
        assert self.read <= self.written

    async def step(self, what: str, n: int) -> None:
        waiting = self.written - self.read
        match what:
            case "write" if waiting + n < 100_000:  # below every window, so that it need not wait for a reader
                await self.send.write(content(self.written, self.written + n))
                self.written += n
            case "read" if waiting:
                data = await self.recv.read(n)
                assert 1 <= len(data) <= n
                self.check(data)
            case "readexactly" if n <= waiting:
                data = await self.recv.readexactly(n)
                assert len(data) == n
                self.check(data)
            case "cancelled read":
                reading = asyncio.create_task(self.recv.read(n))
                await asyncio.sleep(0)
                if reading.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await reading
                else:
                    self.check(reading.result())
            case "turns of the loop":
                for _ in range(n):
                    await asyncio.sleep(0)

    async def end(self, what: str, code: int) -> None:
        match what:
            case "finish":
                await self.send.finish()
                self.check(await self.recv.read())
                assert self.read == self.written
                assert await self.recv.read() == b""
                assert (await self.send.wait_closed(), await self.recv.wait_closed()) == (None, None)
            case "reset":
                self.send.reset(code)
                with pytest.raises(StreamClosedByPeer) as caught:
                    while True:
                        self.check(await self.recv.read(5000))
                assert (caught.value.kind, caught.value.code) == ("reset", code)
                assert await self.recv.wait_closed() == code
            case "stop":
                self.recv.stop(code)
                assert await self.send.wait_closed() == code
                with pytest.raises(StreamClosedByPeer) as caught:
                    await self.send.write(b"more")
                assert (caught.value.kind, caught.value.code) == ("stop", code)
                with pytest.raises(StreamClosedLocally):
                    await self.recv.read(1)


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(STEPS, max_size=20), end=ENDS)
def test_any_sequence_of_calls(certificate: tuple[bytes, bytes], steps: list[tuple[str, int]], end: tuple[str, int]) -> None:
    """A cancelled read takes no byte, a read gives what is there, and an end is told with its code and never looks like another."""

    async def play() -> None:
        async with asyncio.timeout(20), stream(certificate) as (send, recv):
            play = Play(send, recv)
            for what, n in steps:
                await play.step(what, n)
            await play.end(*end)

    asyncio.run(play())

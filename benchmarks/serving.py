"""The server's side of every scenario, over whatever library an adapter brings: a session's path says what it is for."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter

from benchmarks.library import Session, Stream

READ = 256 << 10
PIECE = 64 << 10
QUIET = 0.2  # seconds without a datagram, after which none is expected any more
SLOWLY = 0.05  # seconds that a slow reader takes over each PIECE
TELL, FAST, SLOW = b"?", b"f", b"s"  # what a stream to /beside begins with


Over = tuple[type[Exception], ...]


async def serve(over: Over, path: str, session: Session) -> None:
    """What a session's path asks for, until the peer closes it, which raises one of *over*."""
    with suppress(*over):
        if path == "/datagrams":
            while True:
                await session.send_datagram(await session.receive_datagram())
        elif path == "/count":
            await count(over, session)
        elif path == "/beside":
            await beside(over, session)
        else:
            await serve_streams(over, STREAMS[path], session)


async def serve_streams(over: Over, serve_stream: Callable[[Stream], Awaitable[None]], session: Session) -> None:
    async def until_over(stream: Stream) -> None:
        with suppress(*over):
            await serve_stream(stream)

    async with asyncio.TaskGroup() as streams:
        with suppress(*over):
            while True:
                streams.create_task(until_over(await session.accept_bi()))


async def sink(stream: Stream) -> None:
    await stream.write_all(str(await drain(stream)).encode())


async def source(stream: Stream) -> None:
    await fill(stream, int(await stream.read_all()), PIECE)


async def echo(stream: Stream) -> None:
    while data := await stream.read(READ):
        await stream.write(data)
    await stream.finish()


async def answer(stream: Stream) -> None:
    await stream.write_all(await stream.read_all())


STREAMS: dict[str, Callable[[Stream], Awaitable[None]]] = {"/sink": sink, "/source": source, "/echo": echo, "/rpc": answer}


class Counted:
    """The datagrams of a session, counted as they come."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._received, self._first, self._last = 0, 0.0, 0.0

    async def receive(self) -> None:
        """Until the session is over."""
        while True:
            await self._session.receive_datagram()
            self._last = perf_counter()
            self._first = self._first or self._last
            self._received += 1

    async def tell(self, stream: Stream) -> None:
        """How many have come, once no more do."""
        await stream.read_all()
        while perf_counter() - self._last < QUIET:
            await asyncio.sleep(QUIET)
        told = {"received": self._received, "seconds": self._last - self._first, "dropped": self._session.dropped()}
        if wire := self._session.on_the_wire():
            told["came"] = wire[1]
        await stream.write_all(json.dumps(told).encode())


async def count(over: Over, session: Session) -> None:
    """Count datagrams, and say on each stream how many have come."""
    counted = Counted(session)
    telling = asyncio.create_task(serve_streams(over, counted.tell, session))
    try:
        await counted.receive()
    finally:
        telling.cancel()


async def beside(over: Over, session: Session) -> None:
    """Count datagrams too; of streams, the first byte says what is done with them."""
    counted = Counted(session)

    async def by_first_byte(stream: Stream) -> None:
        what = await stream.read(1)
        if what == TELL:
            await counted.tell(stream)
        elif what == SLOW:
            while await stream.read(PIECE):
                await asyncio.sleep(SLOWLY)
        else:
            await sink(stream)

    telling = asyncio.create_task(serve_streams(over, by_first_byte, session))
    try:
        await counted.receive()
    finally:
        telling.cancel()


async def fill(stream: Stream, size: int, piece: int) -> None:
    whole = bytes(piece)
    for _ in range(size // piece):
        await stream.write(whole)
    if rest := size % piece:
        await stream.write(bytes(rest))
    await stream.finish()


async def drain(stream: Stream) -> int:
    if stream.drain:
        return await stream.drain()
    size = 0
    while data := await stream.read(READ):
        size += len(data)
    return size

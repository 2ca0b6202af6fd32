"""What is measured, of every library: the client's side. `benchmarks.serving` is the server's.

A scenario connects, warms up, and measures for about as long as it is told. It checks every count: bytes that do not arrive are a
failure, datagrams that do not are reported as lost.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import repeat
from time import perf_counter
from typing import Any

from benchmarks.library import Connect, Session
from benchmarks.serving import PIECE, QUIET, READ, drain, fill
from benchmarks.statistics import quantile
from benchmarks.usage import between, usage

Result = dict[str, Any]
Phase = Callable[[str], Awaitable[None]]

KIB, MIB = 1 << 10, 1 << 20
SMALL = bytes(range(64))
WARM_UP = 0.4  # of the time that is measured


class Bench:
    """A client's means to measure."""

    def __init__(self, connect: Connect, seconds: float, phase: Phase) -> None:
        self.connect, self.seconds, self._phase = connect, seconds, phase
        self.measured: Result = {}

    @asynccontextmanager
    async def session(self, path: str) -> AsyncIterator[Session]:
        session = await self.connect(path)
        yield session
        await session.close()

    @asynccontextmanager
    async def measure(self) -> AsyncIterator[None]:
        """The time between, and what this process uses in it."""
        await self._phase("ready")
        before, start = usage(), perf_counter()
        yield
        seconds = perf_counter() - start
        self.measured = {"seconds": seconds, "client": between(before, usage())}
        await self._phase("done")

    async def latency(self, operation: Callable[[], Awaitable[None]]) -> Result:
        """One *operation* after the other."""
        await self.repeat(operation, self.seconds * WARM_UP)
        async with self.measure():
            times = await self.repeat(operation, self.seconds)
        times.sort()
        return self.measured | {"count": len(times), "p50": quantile(times, 0.5), "p99": quantile(times, 0.99)}

    async def rate(self, operation: Callable[[], Awaitable[None]], in_flight: int) -> Result:
        """Several *operations* at a time."""

        async def many(seconds: float) -> int:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.repeat(operation, seconds)) for _ in range(in_flight)]
            return sum(len(task.result()) for task in tasks)

        await many(self.seconds * WARM_UP)
        async with self.measure():
            done = await many(self.seconds)
        return self.measured | {"count": done}

    async def repeat(self, operation: Callable[[], Awaitable[None]], seconds: float) -> list[float]:
        """One after the other for so long; what each took."""
        times = []
        now = perf_counter()
        deadline = now + seconds
        while (begin := now) < deadline:
            await operation()
            now = perf_counter()
            times.append(now - begin)
        return times


async def bulk(bench: Bench, transfer: Callable[[int], Awaitable[None]], least: int) -> Result:
    """Find out how much fits into the time, then transfer that."""
    size, seconds = least, 0.0
    while seconds < bench.seconds * WARM_UP / 2:
        size = size * 4 if seconds else size
        start = perf_counter()
        await transfer(size)
        seconds = perf_counter() - start
    size = max(least, round(size / seconds * bench.seconds))
    async with bench.measure():
        await transfer(size)
    return bench.measured | {"count": size}


async def upload(bench: Bench, *, piece: int, streams: int = 1) -> Result:
    async with bench.session("/sink") as session:

        async def one(size: int) -> None:
            stream = await session.open_bi()
            await fill(stream, size, piece)
            if (arrived := int(await stream.read_all())) != size:
                raise ValueError(f"{arrived} of {size} bytes arrived")

        async def transfer(size: int) -> None:
            async with asyncio.TaskGroup() as group:
                for part in repeat(size // streams, streams):
                    group.create_task(one(part))

        return await bulk(bench, transfer, MIB)


async def download(bench: Bench) -> Result:
    async with bench.session("/source") as session:

        async def transfer(size: int) -> None:
            stream = await session.open_bi()
            await stream.write_all(str(size).encode())
            if (arrived := await drain(stream)) != size:
                raise ValueError(f"{arrived} of {size} bytes arrived")

        return await bulk(bench, transfer, MIB)


async def ping_pong(bench: Bench) -> Result:
    async with bench.session("/echo") as session:
        stream = await session.open_bi()

        async def round_trip() -> None:
            await stream.write(SMALL)
            answered = await stream.read(READ)
            while len(answered) < len(SMALL):
                answered += await stream.read(READ)
            if answered != SMALL:
                raise ValueError("the echo is not what was sent")

        return await bench.latency(round_trip)


async def call(session: Session) -> None:
    """A question and its answer, on a stream of their own."""
    stream = await session.open_bi()
    await stream.write_all(SMALL)
    if await stream.read_all() != SMALL:
        raise ValueError("the answer is not what was sent")


async def rpc(bench: Bench, *, in_flight: int) -> Result:
    async with bench.session("/rpc") as session:
        operation = partial(call, session)
        return await (bench.latency(operation) if in_flight == 1 else bench.rate(operation, in_flight))


async def datagram_echo(bench: Bench, *, in_flight: int) -> Result:
    """Datagrams may be lost: whenever nothing has come back for a while, as many are sent again."""
    async with bench.session("/datagrams") as session:
        echoed, lost = 0, 0

        async def resend() -> None:
            nonlocal lost
            seen = echoed
            while True:
                await asyncio.sleep(QUIET)
                if echoed == seen:
                    lost += in_flight
                    for _ in range(in_flight):
                        await session.send_datagram(SMALL)
                seen = echoed

        async def round_trip() -> None:
            nonlocal echoed
            await session.send_datagram(SMALL)
            if await session.receive_datagram() != SMALL:
                raise ValueError("the echo is not what was sent")
            echoed += 1

        resending = asyncio.create_task(resend())
        for _ in range(in_flight - 1):
            await session.send_datagram(SMALL)
        try:
            return await bench.latency(round_trip) | {"lost": lost}
        finally:
            resending.cancel()


async def flood(bench: Bench, *, size: int) -> Result:
    """As many datagrams as the library takes, to a peer that counts them. Its own time counts, from the first to the last."""
    async with bench.session("/count") as session:
        data, sent = bytes(size), 0
        for _ in range(8):  # a library may set something up for the first of them
            await session.send_datagram(data)
            sent += 1
        deadline = perf_counter() + bench.seconds
        async with bench.measure():
            while perf_counter() < deadline:
                for _ in range(64):
                    await session.send_datagram(data)
                sent += 64
                await asyncio.sleep(0)  # where sending never waits, nothing else would run
            stream = await session.open_bi()
            await stream.write_all(b"how many?")
            told: Result = json.loads(await stream.read_all())
        dropped = told["dropped"] + session.dropped()
        wire = session.on_the_wire()
        if wire and (vanished := sent - told["received"] - dropped - (wire[0] - told["came"])):
            raise ValueError(f"{vanished} datagrams are in no counter")
        return bench.measured | told | {"count": told["received"], "sent": sent, "dropped": dropped}


async def connect(bench: Bench) -> Result:
    async def once() -> None:
        await (await bench.connect("/echo")).close()

    return await bench.latency(once)


async def open_many(bench: Bench, count: int, at_a_time: int = 64) -> list[Session]:
    """Sessions, each on a connection of its own."""
    opened: list[Session] = []
    left = iter(range(count))

    async def open_some() -> None:
        opened.extend([await bench.connect("/echo") for _ in left])

    async with asyncio.TaskGroup() as group:
        for _ in range(at_a_time):
            group.create_task(open_some())
    return opened


async def sessions(bench: Bench, *, count: int) -> Result:
    """Open many, and hold them."""
    async with bench.measure():
        opened = await open_many(bench, count)
    for session in opened:
        await session.close()
    return bench.measured | {"count": len(opened)}


Scenario = Callable[[Bench], Awaitable[Result]]

SCENARIOS: dict[str, Scenario] = {
    "upload": partial(upload, piece=PIECE),
    "upload-1MiB": partial(upload, piece=MIB),
    "download": download,
    "upload-8": partial(upload, piece=PIECE, streams=8),
    "rpc": partial(rpc, in_flight=1),
    "rpc-64": partial(rpc, in_flight=64),
    "datagram": partial(datagram_echo, in_flight=1),
    "datagram-32": partial(datagram_echo, in_flight=32),
    "flood-1KiB": partial(flood, size=KIB),
    "flood-64": partial(flood, size=64),
    "ping-pong": ping_pong,
    "connect": connect,
    "sessions": partial(sessions, count=2000),
}

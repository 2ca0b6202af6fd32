"""What is measured of ours alone: that nothing gets steeply worse where there is much of something."""

import asyncio
import json
from functools import partial
from statistics import median
from time import perf_counter

from benchmarks.library import Session
from benchmarks.scenarios import MIB, Bench, Result, Scenario, call, open_many, sessions
from benchmarks.serving import FAST, PIECE, SLOW, TELL, fill
from benchmarks.statistics import quantile

GIB = 1 << 30
TURNS = 3


async def idle(bench: Bench, *, count: int) -> Result:
    """The latency of RPCs before, beside and after so many idle connections."""
    medians = []
    async with bench.session("/rpc") as session:
        operation = partial(call, session)

        async def latency() -> float:
            await asyncio.sleep(1)  # what opening and closing left to do is done
            return quantile(sorted(await bench.repeat(operation, bench.seconds)), 0.5)

        await bench.repeat(operation, bench.seconds)
        async with bench.measure():
            medians.append(await latency())
            opened = await open_many(bench, count)
            medians.append(await latency())
            for each in opened:
                await each.close()
            medians.append(await latency())
    before, beside, after = medians
    return bench.measured | {"count": count, "alone": (before + after) / 2, "beside": beside}


async def one_size(bench: Bench, *, size: int, times: int) -> Result:
    """Streams of so many bytes, one after the other."""
    async with bench.session("/sink") as session:

        async def transfer() -> None:
            stream = await session.open_bi()
            await fill(stream, size, PIECE)
            if (arrived := int(await stream.read_all())) != size:
                raise ValueError(f"{arrived} of {size} bytes arrived")

        for _ in range(64 if size == MIB else 1):
            await transfer()
        async with bench.measure():
            for _ in range(times):
                await transfer()
        return bench.measured | {"count": size * times}


async def upload_beside(bench: Bench, session: Session) -> float:
    """Bytes a second of uploads, one after the other."""

    async def transfer() -> None:
        stream = await session.open_bi()
        await stream.write(FAST)
        await fill(stream, 16 * MIB, PIECE)
        if (arrived := int(await stream.read_all())) != 16 * MIB:
            raise ValueError(f"{arrived} of {16 * MIB} bytes arrived")

    times = await bench.repeat(transfer, bench.seconds)
    return 16 * MIB / quantile(sorted(times), 0.5)


async def slow_reader(bench: Bench) -> Result:
    """Uploads alone, and in another session beside a stream that is read slowly; in turn."""
    async with bench.session("/beside") as quiet, bench.session("/beside") as busy:

        async def fill_slow() -> None:
            stream = await busy.open_bi()
            await stream.write(SLOW)
            await fill(stream, GIB, PIECE)

        alone, beside = [], []
        await upload_beside(bench, quiet)
        async with bench.measure():
            filling = asyncio.create_task(fill_slow())
            for _ in range(TURNS):
                alone.append(await upload_beside(bench, quiet))
                beside.append(await upload_beside(bench, busy))
            filling.cancel()
        return bench.measured | {"count": TURNS, "alone": median(alone), "beside": median(beside)}


async def flood_beside(bench: Bench) -> Result:
    """Uploads alone, and beside a flood of datagrams in the same session, in turn; and what became of those."""
    async with bench.session("/beside") as session:
        data, sent, flooded = bytes(1024), 0, 0.0

        async def send() -> None:
            nonlocal sent
            while True:
                sent += 1  # before the wait, in which it may be cancelled
                await session.send_datagram(data)
                if sent % 64 == 0:
                    await asyncio.sleep(0)

        alone, beside = [], []
        await upload_beside(bench, session)
        async with bench.measure():
            for _ in range(TURNS):
                alone.append(await upload_beside(bench, session))
                sending, start = asyncio.create_task(send()), perf_counter()
                beside.append(await upload_beside(bench, session))
                sending.cancel()
                flooded += perf_counter() - start
        stream = await session.open_bi()
        await stream.write_all(TELL)
        told: Result = json.loads(await stream.read_all())
        figures = {"alone": median(alone), "beside": median(beside), "received": told["received"], "sent": sent}
        figures |= {"count": told["received"], "seconds": flooded, "dropped": told["dropped"] + session.dropped()}
        return bench.measured | figures


EXTREMES: dict[str, Scenario] = {
    "sessions-10000": partial(sessions, count=10_000),  # first: later there is memory of sessions that went, to be used again
    "idle-2000": partial(idle, count=2000),
    "streams-1MiB": partial(one_size, size=MIB, times=512),
    "streams-64MiB": partial(one_size, size=64 * MIB, times=8),
    "stream-1GiB": partial(one_size, size=GIB, times=1),
    "stream-4GiB": partial(one_size, size=4 * GIB, times=1),
    "slow-reader": slow_reader,
    "flood-beside": flood_beside,
}

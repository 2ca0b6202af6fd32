"""What is measured of ours alone: that nothing gets steeply worse where there is much of something."""

import asyncio
import json
from functools import partial

from benchmarks.library import Session
from benchmarks.scenarios import MIB, SMALL, Bench, Result, Scenario, open_many, sessions
from benchmarks.serving import FAST, PIECE, SLOW, TELL, fill
from benchmarks.statistics import quantile

GIB = 1 << 30


async def idle(bench: Bench, *, count: int) -> Result:
    """The latency of RPCs before, beside and after so many idle connections."""
    medians = []
    async with bench.session("/rpc") as session:

        async def call() -> None:
            stream = await session.open_bi()
            await stream.write_all(SMALL)
            if await stream.read_all() != SMALL:
                raise ValueError("the answer is not what was sent")

        async def median() -> float:
            await asyncio.sleep(1)  # what opening and closing left to do is done
            return quantile(sorted(await bench.repeat(call, bench.seconds)), 0.5)

        await bench.repeat(call, bench.seconds)
        async with bench.measure():
            medians.append(await median())
            opened = await open_many(bench, count)
            medians.append(await median())
            for each in opened:
                await each.close()
            medians.append(await median())
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
    """Uploads alone, and beside a stream of the same session that is read slowly."""
    async with bench.session("/beside") as session:

        async def fill_slow() -> None:
            stream = await session.open_bi()
            await stream.write(SLOW)
            await fill(stream, GIB, PIECE)

        await upload_beside(bench, session)
        async with bench.measure():
            alone = await upload_beside(bench, session)
            filling = asyncio.create_task(fill_slow())
            await asyncio.sleep(0.5)  # its window is full now
            beside = await upload_beside(bench, session)
            filling.cancel()
        return bench.measured | {"count": 1, "alone": alone, "beside": beside}


async def flood_beside(bench: Bench) -> Result:
    """Uploads alone, and beside a flood of datagrams in the same session; and what became of those."""
    async with bench.session("/beside") as session:
        data, sent = bytes(1024), 0

        async def send() -> None:
            nonlocal sent
            while True:
                await session.send_datagram(data)
                sent += 1
                if sent % 64 == 0:
                    await asyncio.sleep(0)

        await upload_beside(bench, session)
        async with bench.measure():
            alone = await upload_beside(bench, session)
            sending = asyncio.create_task(send())
            beside = await upload_beside(bench, session)
            sending.cancel()
        stream = await session.open_bi()
        await stream.write_all(TELL)
        told: Result = json.loads(await stream.read_all())
        dropped = told["dropped"] + session.dropped()
        seen = {"alone": alone, "beside": beside, "sent": sent, "dropped": dropped, "received": told["received"]}
        return bench.measured | seen | {"count": told["received"], "seconds": told["seconds"]}


EXTREMES: dict[str, Scenario] = {
    "idle-2000": partial(idle, count=2000),
    "sessions-10000": partial(sessions, count=10_000),
    "streams-1MiB": partial(one_size, size=MIB, times=512),
    "streams-64MiB": partial(one_size, size=64 * MIB, times=8),
    "stream-1GiB": partial(one_size, size=GIB, times=1),
    "stream-4GiB": partial(one_size, size=4 * GIB, times=1),
    "slow-reader": slow_reader,
    "flood-beside": flood_beside,
}

"""Bulk transfers: every byte arrives, in both directions, over one stream and over several, in bounded memory."""

import asyncio
import hashlib
import random
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
BLOCK = random.Random(0).randbytes(MIB + 7)  # not a power of two, so that a shifted copy hashes differently


async def upload(send, size):
    """Send *size* bytes and give their hash."""
    digest = hashlib.sha256()
    async with send:
        while size:
            data = memoryview(BLOCK)[:size]
            digest.update(data)
            await send.write(data)
            size -= len(data)
    return digest.digest()


async def download(recv):
    """Read to the end and give the hash."""
    digest = hashlib.sha256()
    async for chunk in recv:
        digest.update(chunk)
    return digest.digest()


def reset_peak():
    """Start anew to measure the peak of resident memory."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(what):
    """VmRSS, the resident memory now, or VmHWM, its peak, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


@pytest.mark.deadline(600)
@pytest.mark.parametrize("size", [64 * MIB, pytest.param(512 * MIB, marks=pytest.mark.soak)])
@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_bulk(pair, direction, streams, size, record_property):
    """Sent and received hash to the same; memory stays within windows and buffers, whatever the size."""
    sender, receiver = (pair.client, pair.server) if direction == "up" else (pair.server, pair.client)
    measured = sys.platform == "linux"
    if measured:
        reset_peak()
        before = resident("VmRSS")
    sending = [await sender.open_uni() for _ in range(streams)]
    receiving = [await receiver.accept_uni() for _ in range(streams)]
    uploads = asyncio.gather(*(upload(send, size // streams) for send in sending))
    received = await asyncio.gather(*(download(recv) for recv in receiving))
    assert sorted(received) == sorted(await uploads)
    if measured:
        grown = resident("VmHWM") - before
        record_property("peak_rss_growth_mib", grown)
        print(f"{direction}, {streams} streams, {size // MIB} MiB: peak RSS grew by {grown:.0f} MiB")
        assert grown < 100

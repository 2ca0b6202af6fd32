"""Statistics: figures of one moment that add up, and stay after the end."""

import asyncio
import dataclasses

import pytest


async def test_stream_bytes(pair):
    """What was written is sent, acknowledged, received and read, and each figure says only what is known."""
    send, recv = await pair.uni()
    assert dataclasses.astuple(send.stats()) == (0, 0, 0)
    assert dataclasses.astuple(recv.stats()) == (0, 0)
    await send.write(b"x" * 1000)
    assert send.stats().bytes_written == 1000
    assert await recv.readexactly(300) == b"x" * 300
    assert dataclasses.astuple(recv.stats()) == (1000, 300)
    await send.finish()
    assert await send.wait_closed() is None
    assert dataclasses.astuple(send.stats()) == (1000, 1000, 1000)
    pair.client.close()
    pair.server.close()
    assert dataclasses.astuple(send.stats()) == (1000, 1000, 1000)
    assert recv.stats().bytes_read == 300


async def test_a_cancelled_write_says_how_much_it_queued(pair):
    """bytes_written is the way to learn which prefix of a cancelled write will arrive."""
    send, recv = await pair.uni()
    writing = asyncio.create_task(send.write(b"x" * (64 << 20)))
    while send.stats().bytes_written == 0:
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    written = send.stats().bytes_written
    assert 0 < written < 64 << 20
    assert send.stats().bytes_acknowledged is None
    await send.finish()
    assert len(await recv.read()) == written


async def test_figures_are_frozen(pair):
    """They are of one moment: nobody changes them."""
    send, _ = await pair.uni()
    with pytest.raises(dataclasses.FrozenInstanceError):
        send.stats().bytes_written = 1

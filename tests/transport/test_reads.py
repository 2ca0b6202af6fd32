"""The ways to read a stream, mixed: into a buffer, up to a separator, a line; none loses a byte or its place."""

import array
import asyncio
import random

import pytest
from web_transport import StreamClosedByPeer, StreamClosedLocally, StreamIncompleteReadError, StreamTooLongError


async def sent(pair, data):
    """A stream on which the client has sent *data*, and nothing more: its receiving end."""
    send, recv = await pair.uni()
    await send.write(data)
    await send.finish()
    return recv


async def test_readinto_fills_in_place(pair):
    """The buffer's beginning is written, the rest of it is not; 0 is the end, again and again."""
    recv = await sent(pair, b"hello")
    buffer = bytearray(b"........")
    assert await recv.readinto(buffer) == 5
    assert buffer == b"hello..."
    assert [await recv.readinto(buffer) for _ in range(2)] == [0, 0]
    assert buffer == b"hello..."


async def test_readinto_takes_no_more_than_fits(pair):
    """What does not fit waits for the next call, and no room is no reason to wait."""
    send, recv = await pair.uni()
    assert await recv.readinto(bytearray()) == 0
    await send.write(b"abcdef")
    buffer = array.array("I", [0])
    assert await recv.readinto(buffer) == 4
    assert buffer.tobytes() == b"abcd"
    part = bytearray(6)
    assert await recv.readinto(memoryview(part)[2:4]) == 2
    assert part == b"\0\0ef\0\0"


async def test_readinto_needs_a_writable_contiguous_buffer(pair):
    """What cannot be written to is an error before a byte is taken."""
    recv = await sent(pair, b"kept")
    for wrong in (b"bytes", memoryview(bytearray(4)).toreadonly(), memoryview(bytearray(8))[::2], "text", None):
        with pytest.raises(TypeError):
            await recv.readinto(wrong)
    assert await recv.read() == b"kept"


async def test_readinto_carries_a_megabyte(pair):
    """Whatever the sizes of packets, pipes and buffers, the bytes come in order."""
    data = random.Random(1).randbytes(1 << 20)
    send, recv = await pair.uni()

    async def write():
        async with send:
            await send.write(data)

    writing = asyncio.create_task(write())
    buffer, got = bytearray(10_007), b""
    while n := await recv.readinto(buffer):
        got += buffer[:n]
    await writing
    assert got == data


async def test_readuntil(pair):
    """Separators of any length, at any distance; the separator comes along."""
    recv = await sent(pair, b"a--b---c--" + b"x" * 1000 + b"--")
    assert await recv.readuntil(b"--") == b"a--"
    assert await recv.readuntil(b"--") == b"b--"
    assert await recv.readuntil(b"c") == b"-c"
    assert await recv.readuntil(b"--", limit=2) == b"--"
    assert await recv.readuntil(b"--") == b"x" * 1000 + b"--"


async def test_readuntil_over_pieces(pair):
    """A separator may be cut anywhere; what it looks like before its end is no separator."""
    send, recv = await pair.uni()
    reading = asyncio.create_task(recv.readuntil(b"aab"))
    for piece in (b"a", b"aa", b"a", b"b", b"c"):
        await send.write(piece)
        while recv.stats().bytes_received < send.stats().bytes_written:
            await asyncio.sleep(0)
    assert await reading == b"aaaab"
    assert await recv.readexactly(1) == b"c"


async def test_readuntil_at_the_end(pair):
    """The peer's FIN before the separator: what there was comes with the error, and is gone from the stream."""
    recv = await sent(pair, b"no end")
    with pytest.raises(StreamIncompleteReadError) as caught:
        await recv.readuntil(b"\n")
    assert (caught.value.expected, caught.value.partial) == (None, b"no end")
    with pytest.raises(StreamIncompleteReadError) as caught:
        await recv.readuntil(b"\n")
    assert caught.value.partial == b""
    assert await recv.read() == b""


@pytest.mark.parametrize("data", [b"12345\n", b"123456", b"1234567890\n"])
async def test_readuntil_limit(pair, data):
    """The separator counts; a line that is too long stays whole, and a higher limit reads it."""
    recv = await sent(pair, data + b"\n")
    for _ in range(2):
        with pytest.raises(StreamTooLongError) as caught:
            await recv.readuntil(limit=5)
        assert caught.value.limit == 5
    assert await recv.readuntil(limit=len(data) + 1) == (data + b"\n")[: data.find(b"\n") + 1 or None]


async def test_readuntil_wants_a_separator(pair):
    """An empty one is found everywhere and so means nothing; text is no bytes."""
    recv = await sent(pair, b"kept\n")
    with pytest.raises(ValueError, match="separator"):
        await recv.readuntil(b"")
    with pytest.raises(TypeError):
        await recv.readuntil("\n")
    assert await recv.read() == b"kept\n"


async def test_readline(pair):
    """Lines with their ends, the last perhaps without, then nothing for ever."""
    recv = await sent(pair, b"one\n\nthree")
    assert [await recv.readline() for _ in range(5)] == [b"one\n", b"\n", b"three", b"", b""]


async def test_readline_of_exactly_the_limit_at_the_end(pair):
    """The rest of a stream is a line even where it has no end, and fits if it is as long as the limit."""
    recv = await sent(pair, b"12345")
    assert await recv.readline(limit=5) == b"12345"


async def test_many_lines(pair):
    """Time does not grow with the square of what waits: a hundred thousand lines, some longer than a packet."""
    lines = [b"%d" % i + b"x" * (i % 5000 if i % 100 == 0 else 3) + b"\n" for i in range(100_000)]
    send, recv = await pair.uni()

    async def write():
        async with send:
            await send.write(b"".join(lines))

    writing = asyncio.create_task(write())
    assert [await recv.readline() for _ in lines] == lines
    assert await recv.readline() == b""
    await writing


CALLS = {
    "readinto": lambda recv: recv.readinto(bytearray(10)),
    "readuntil": lambda recv: recv.readuntil(b"\n"),
    "readline": lambda recv: recv.readline(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_cancelled_reads_lose_nothing(pair, parked, call):
    """Bytes that a call had looked at and not returned belong to the next, whichever that is."""
    send, recv = await pair.uni()
    reading = await parked(CALLS["readuntil"](recv))
    await send.write(b"ab")
    while recv.stats().bytes_received < 2:
        await asyncio.sleep(0)
    for _ in range(3):  # so that it has taken the two
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    assert recv.stats().bytes_read == 0
    assert await recv.readexactly(1) == b"a"
    assert await recv.read(1) == b"b"
    reading = await parked(call(recv))
    reading.cancel()
    await send.write(b"cd\n")
    buffer = bytearray(2)
    assert await recv.readinto(buffer[:0]) == 0
    assert await recv.readexactly(1) == b"c"
    assert await recv.readline() == b"d\n"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await call(recv)
    await send.finish()
    assert await recv.read() == b""


async def test_a_limit_keeps_the_order(pair):
    """What a limited read puts back goes before what had been read ahead."""
    recv = await sent(pair, b"1\n23456789")
    assert await recv.readline() == b"1\n"  # reads ahead
    with pytest.raises(StreamTooLongError):
        await recv.read(limit=3)
    assert await recv.readinto(buffer := bytearray(2)) == 2
    assert buffer == b"23"
    assert [chunk async for chunk in recv] == [b"456789"]


@pytest.mark.parametrize("seed", range(5))
async def test_any_mixture_keeps_the_order(pair, seed):
    """All ways to read one stream, in any order, give its bytes in order."""
    choose = random.Random(seed)
    data = bytes(choose.choices(b"ab\n", k=200_000))
    send, recv = await pair.uni()

    async def write():
        async with send:
            at = 0
            while at < len(data):
                piece = data[at : at + choose.randrange(1, 5000)]
                await send.write(piece)
                at += len(piece)

    async def into(n):
        buffer = bytearray(n)
        return bytes(buffer[: await recv.readinto(buffer)])

    async def exactly(n):
        try:
            return await recv.readexactly(n)
        except StreamIncompleteReadError as error:
            return error.partial

    async def until(n):
        try:
            return await recv.readuntil(b"a\n", limit=n)
        except StreamIncompleteReadError as error:
            return error.partial
        except StreamTooLongError:
            return b""

    writing = asyncio.create_task(write())
    got = b""
    while len(got) < len(data):
        call = choose.choice([recv.read, into, exactly, until, lambda n: recv.readline()])
        got += await call(choose.randrange(1, 3000))
        assert recv.stats().bytes_read == len(got)
    assert got == data
    assert await recv.read() == b""
    await writing


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_after_a_reset_or_stop_every_read_raises(pair, parked, call):
    """An aborted stream never looks finished, not even to those who find bytes that were read ahead."""
    send, recv = await pair.uni()
    await send.write(b"one\ntwo\nthree\n")
    assert await recv.readline() == b"one\n"
    assert recv.stats().bytes_received == 14
    send.reset(7)
    assert await recv.wait_closed() == 7
    with pytest.raises(StreamClosedByPeer) as caught:
        await call(recv)
    assert caught.value.code == 7

    send, recv = await pair.uni()
    reading = await parked(call(recv))
    recv.stop(1)
    with pytest.raises(StreamClosedLocally):
        await reading
    with pytest.raises(StreamClosedLocally):
        await call(recv)

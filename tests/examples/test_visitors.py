"""A visitor who makes no sense, or leaves in the middle, does no harm to the server of an example, nor to the others."""

import json

import pytest
from web_transport import Client

from tests.examples.running import Example, running


def trusting(example: Example) -> Client:
    """A client of an example's server."""
    return Client(server_certificate_hashes=[bytes.fromhex(example.hash)])


async def test_chat():
    """What a terminal would obey is not passed on, and who breaks off has left."""
    async with (
        running("chat") as example,
        trusting(example) as client,
        await client.connect(f"{example.url}/chat/lobby/Ada") as ada,
        await client.connect(f"{example.url}/chat/lobby/Eve") as eve,
    ):
        (_mute, heard), (said, _deaf) = await ada.accept_bi(), await eve.accept_bi()
        await said.write(b"\x1b[2J\xff\a ha\n")
        while (line := await heard.readline()) != "Eve: [2J\N{REPLACEMENT CHARACTER} ha\n".encode():
            assert line in (b"Ada is here\n", b"Eve is here\n")
        await said.write(b"and ano")
        said.reset(7)
        assert await heard.readline() == b"Eve has left\n"


HEADS = {
    "none": b"",
    "no JSON": b"photo.bin",
    "no object": b"null",
    "no size": b'{"name": "photo.bin"}',
    "no number": b'{"name": "photo.bin", "size": "4"}',
    "too large": b'{"name": "photo.bin", "size": 1e12}',
    "more than that": b'{"name": "photo.bin", "size": 1}\n12',
    "less than that": b'{"name": "photo.bin", "size": 4}\n12',
    "no name": b'{"name": "", "size": 0}',
    "a path": b'{"name": "../photo.bin", "size": 0}',
    "a directory": b'{"name": "..", "size": 0}',
    "not to be shown": b'{"name": "\\u0000", "size": 0}',
    "too long": b'{"name": "%s", "size": 0}' % (b"x" * 300),
    "too deep": b"[" * 4000,
}


async def test_upload(tmp_path):
    """What makes no sense is answered with an error, and the part of a file is none."""
    source, target = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    target.mkdir()
    (source / "photo.bin").write_bytes(b"1234")
    async with running("upload", "--directory", str(target)) as example:
        async with trusting(example) as client, await client.connect(example.url) as session:
            for what, head in HEADS.items():
                send, recv = await session.open_bi()
                await send.write(head if b"\n" in head else head + b"\n")
                await send.finish()
                assert "error" in json.loads(await recv.read()), what
            send, recv = await session.open_bi()
            await send.write(b'{"name": "half.bin", "size": 4000000}\n' + bytes(2_000_000))
            assert "received" in json.loads(await recv.readline())
        await example.client(str(source / "photo.bin"))
    assert [path.name for path in target.iterdir()] == ["photo.bin"]


WISHES = [
    b"",
    b"\xff",
    b"null",
    b"{}",
    b'{"number": "one", "go": [1, 0]}',
    b'{"number": 1, "go": [1]}',
    b'{"number": 1, "go": [NaN, 1]}',
    b'{"number": 1, "go": [1.7e308, 1.7e308]}',
    b'{"number": 1, "go": [1%s, 1]}' % (b"0" * 400),
    b"[" * 1000,
]


async def test_game():
    """Who makes no sense plays no more, and there is no end to the world."""
    async with running("game") as example:
        async with trusting(example) as client:
            for wish in WISHES:
                session = await client.connect(example.url)
                await session.send_datagram(wish)
                await session.wait_closed()
            leaving = await client.connect(example.url)
            await (await leaving.accept_uni()).read()
        assert "I am at [" in await example.client("--ticks", "20")


@pytest.mark.parametrize("prompt", [b"\xff\n", b"A stream\n"])
async def test_inference(prompt):
    """Any bytes are a prompt, and nobody makes words for somebody who has gone."""
    async with running("inference") as example:
        async with trusting(example) as client, await client.connect(f"{example.url}/generate") as session:
            send, recv = await session.open_bi()
            await send.write(prompt)
            assert await recv.read(1)
        assert 1 <= int((await example.line(r"stopped after (\d+) words: "))[1]) < 500

"""Every example works from the command line: its server, and its client against it."""

import hashlib
import re

import pytest
from web_transport import Client

from tests.examples.running import EXAMPLES, running


async def test_echo():
    """Everything comes back, and the server sees how the session ended."""
    async with running("echo", "--host", "127.0.0.1") as example:
        output = await example.client()
        await example.line("closed by peer: session, code 7, reason 'bye'")
    names = [line.partition(":")[0] for line in output.splitlines()]
    assert names == ["connect", "bidirectional stream", "unidirectional streams", "datagram", "close"]


async def test_upload(tmp_path):
    """The file arrives, with its bytes and its name, and the bar gets to its end."""
    source, target = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    target.mkdir()
    file = source / "photo.bin"
    file.write_bytes(bytes(range(256)) * 12_000)
    async with running("upload", "--directory", str(target)) as example:
        output = await example.client(str(file))
        await example.line("photo.bin: 3072000 bytes")
    assert "] 100%" in output
    assert hashlib.sha256(file.read_bytes()).hexdigest() in output
    assert [path.name for path in target.iterdir()] == ["photo.bin"]
    assert (target / "photo.bin").read_bytes() == file.read_bytes()


async def test_telemetry():
    """Samples come, each newer than the last, and those that were lost are counted."""
    async with running("telemetry") as example:
        output = await example.client("10")
    numbers = [int(number) for number in re.findall(r"^ *(\d+)  CPU", output, re.MULTILINE)]
    assert len(numbers) == 10
    assert numbers == sorted(set(numbers))
    assert re.search(r"^10 samples, \d+ lost$", output, re.MULTILINE)


async def test_inference():
    """Words come as they are made, and cancelling stops the work long before its end."""
    async with running("inference") as example:
        output = await example.client("A stream", "--words", "5")
        stopped = await example.line(r"stopped after (\d+) words: ")
    assert output.startswith("A stream ")
    assert len(output.split()) >= 7
    assert 4 <= int(stopped[1]) < 500


async def test_game():
    """Players see each other, and move."""
    async with (
        running("game") as example,
        Client(server_certificate_hashes=[bytes.fromhex(example.hash)]) as client,
        await client.connect(example.url) as other,
    ):
        await (await other.accept_uni()).read()  # it is on the board
        output = await example.client("--ticks", "45")
    assert "one of 2" in output
    places = re.findall(r"I am at \[(\d+), (\d+)\]", output)
    assert len(set(places)) > 1


async def test_messages():
    """Orders find each other, and both sides hear of it."""
    async with running("messages") as example:
        output = await example.client()
    assert output.splitlines() == [
        "seller: amount and price are more than 0",
        "buyer: got 7 of 7 for 2.50",
        "buyer: got 3 of 5 for 2.50",
        "seller: sold 7",
        "seller: sold 3",
    ]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("chat", ["lobby", "Ada"]),
        ("game", ["--ticks", "1000000"]),
        ("inference", ["A stream", "--words", "1000000"]),
        ("telemetry", ["1000000"]),
        ("upload", ["large.bin"]),
    ],
)
async def test_clients_may_be_interrupted(name, arguments, tmp_path, monkeypatch):
    """Ctrl-C ends a client without a traceback, and does no harm to its server."""
    monkeypatch.chdir(tmp_path)
    with open("large.bin", "wb") as file:
        file.truncate(1 << 30)
    async with running(name) as example:
        assert "Traceback" not in await example.interrupted_client(*arguments)


async def test_starlette():
    """What is pressed over HTTP is told over WebTransport."""
    async with running("starlette", "--http-port", "0") as example:
        assert example.page
        output = await example.client(example.page)
    assert output.splitlines() == ["1: client.py", "2: client.py", "3: client.py"]


@pytest.mark.parametrize("readme", sorted(EXAMPLES.glob("*/README.md")), ids=lambda path: path.parent.name)
def test_readmes_name_files_that_are_there(readme):
    """A command of a README can be copied."""
    commands = re.findall(r"python (examples/\S+\.py)", readme.read_text(encoding="utf-8"))
    assert commands
    assert all((EXAMPLES.parent / command).exists() for command in commands)

"""The image of the interop server: the commands that it runs do what they should, where they run without it."""

import asyncio
import json
import re
import socket
import sys
from pathlib import Path

import pytest

from tests.tools.test_cli import run, running

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the image is one of Linux")


def command(file: str, pattern: str) -> list[str]:
    """A command, as a list in a file of the image."""
    found = re.search(pattern, (ROOT / file).read_text())
    assert found
    words = [word for word in json.loads(found[1]) if word != "CMD"]
    assert words[0] == "webtransport"
    return words[1:]


async def test_the_commands_of_the_image_work() -> None:
    """The server listens where the image says, on IPv6 and IPv4, and what asks after its health finds it well."""
    port = int(re.findall(r"EXPOSE (\d+)/udp", (ROOT / "Dockerfile").read_text())[0])
    assert f'"{port}:{port}/udp"' in (ROOT / "compose.yaml").read_text()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::", port))
        except OSError:
            pytest.skip(f"port {port} is in use")
    async with running(*command("Dockerfile", r"CMD (\[.*\])"), stderr=asyncio.subprocess.DEVNULL) as server:
        assert server.stdout
        assert (await server.stdout.readline()).decode() == f"listening on https://localhost:{port}\n"
        healthy = await run(*command("compose.yaml", r"test: (\[.*\])"))
        assert healthy.status == 0, healthy.err
        for host in ("127.0.0.1", "[::1]"):
            assert (await run("connect", f"https://{host}:{port}/echo", "--insecure", typed=b"x")).out == "[stream 4] x\n"

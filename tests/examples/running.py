"""Runs an example as its readers do: the server as a process of its own, which says where it is, and then its client."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ANNOUNCED = {"url": r"^(?:url:|serving) (\S+)", "hash": r"hash:? ([0-9a-f]{64})", "page": r"^(?:page:|open) (\S+)"}
EXAMPLES = Path(__file__).parents[2] / "examples"
TRACEBACK = (b"Traceback", b"  + Exception Group Traceback")


@dataclass
class Example:
    """A running server of an example."""

    name: str
    url: str
    hash: str
    page: str | None
    process: Process

    async def line(self, pattern: str) -> re.Match[str]:
        """The next line that the server prints and that matches."""
        assert self.process.stdout
        async for line in self.process.stdout:
            assert not line.startswith(TRACEBACK), (line + await self.process.stdout.read()).decode()
            if match := re.search(pattern, line.decode()):
                return match
        raise AssertionError(f"{self.name}/server.py ended without printing {pattern!r}")

    async def client(self, *arguments: str) -> str:
        """What client.py prints, which must succeed."""
        async with self._client(*arguments, stdin=DEVNULL) as client:
            output, _ = await client.communicate()
        assert client.returncode == 0, output.decode()
        return output.decode()

    async def interrupted_client(self, *arguments: str) -> str:
        """What client.py prints, which is interrupted as soon as it has printed something."""
        async with self._client(*arguments, stdin=PIPE) as client:
            assert client.stdout
            first = await client.stdout.read(1)
            client.send_signal(signal.SIGINT)
            output, _ = await client.communicate()
        return (first + output).decode()

    @asynccontextmanager
    async def _client(self, *arguments: str, stdin: int) -> AsyncIterator[Process]:
        command = [sys.executable, "-u", str(EXAMPLES / self.name / "client.py"), self.url, self.hash, *arguments]
        client = await asyncio.create_subprocess_exec(*command, stdin=stdin, stdout=PIPE, stderr=STDOUT)
        try:
            yield client
        finally:
            with contextlib.suppress(ProcessLookupError):
                client.kill()
            await client.wait()


@asynccontextmanager
async def running(name: str, *arguments: str) -> AsyncIterator[Example]:
    """Run server.py of an example on free ports; leaving the context interrupts it, and it must end well, without a traceback."""
    port = ["0"] if name == "chat" else ["--port", "0"]
    command = [sys.executable, str(EXAMPLES / name / "server.py"), *port, *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment)
    try:
        example = Example(name, "", "", None, process)
        wanted = dict(ANNOUNCED)
        if not (EXAMPLES / name / "index.html").exists():
            del wanted["page"]
        while wanted:
            line = (await example.line(r".+"))[0]
            for what, pattern in list(wanted.items()):
                if match := re.search(pattern, line):
                    setattr(example, what, match[1])
                    del wanted[what]
        yield example
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        assert b"Traceback" not in output, output.decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

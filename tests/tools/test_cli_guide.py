"""``docs/guide/cli.md`` is a session at a terminal: it is typed again, and what is printed is what the page shows."""

import asyncio
import os
import re
import shlex
import signal
import stat
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.ports import free_ports

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "cli.md"
MARK = "--- the command has ended ---"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the session is one of a POSIX shell")


def blocks(text: str) -> list[tuple[str, str]]:
    """The code of the page: the title of a file and its text, or "" and what is typed and printed."""
    found = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    return [(title, code) for language, title, code in found if title or language == "console"]


def reads_like(pattern: str, text: str) -> bool:
    """Whether what is printed is what is shown, in which ``...`` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.strip().split("..."))), text.strip(), re.DOTALL) is not None


class Terminal:
    """A shell, and what runs in its background."""

    def __init__(self, shell: Process, directory: Path, environment: dict[str, str]) -> None:
        self._shell, self._directory, self._environment = shell, directory, environment
        self._background: list[Process] = []

    async def run(self, command: str) -> str:
        """Type a command and wait until it has ended: what it prints, on both outputs."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{command}\n(exit $?); s=$?; echo; echo '{MARK}'; (exit $s)\n".encode())
        printed = ""
        while not printed.endswith(f"\n{MARK}\n"):
            line = await self._shell.stdout.readline()
            assert line, f"the shell ended: {printed}"
            printed += line.decode()
        return printed.removesuffix(f"\n{MARK}\n")

    async def run_in_background(self, command: str, shown: str) -> str:
        """Type a command that goes on, and wait until it has printed as many lines as are shown."""
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command), cwd=self._directory, env=self._environment, stdout=PIPE, stderr=STDOUT
        )
        self._background.append(process)
        assert process.stdout
        return "".join([(await process.stdout.readline()).decode() for _ in shown.strip().splitlines()])

    async def end(self) -> None:
        """Interrupt what runs in the background: it ends well."""
        for process in self._background:
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0


@asynccontextmanager
async def terminal(directory: Path) -> AsyncIterator[Terminal]:
    commands = directory / "bin"
    commands.mkdir()
    script = commands / "webtransport"  # as an installer makes it
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pywebtransport "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}
    shell = await asyncio.create_subprocess_exec("bash", cwd=directory, env=environment, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    opened = Terminal(shell, directory, environment)
    try:
        yield opened
        await opened.end()
    finally:
        for process in (shell, *opened._background):
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.mark.deadline(180)  # some thirty commands, each a process
async def test_the_session_of_the_guide_is_as_it_shows(tmp_path: Path) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    ports = dict(zip(["4433", "8443", "9443"], map(str, free_ports()), strict=False))
    text = re.sub("|".join(ports), lambda match: ports[match[0]], text)
    text = text.replace("webtransport interop\n", f"webtransport interop --port {ports['4433']}\n")
    text = text.replace("webtransport interop --certfile", f"webtransport interop --port {ports['4433']} --certfile")
    async with terminal(tmp_path) as shell:
        for title, code in blocks(text):
            if title:
                (tmp_path / title).write_text(code)
                continue
            for step in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
                command, _, shown = step.partition("\n")
                if command.endswith(" &"):
                    printed = await shell.run_in_background(command.removesuffix(" &"), shown)
                else:
                    printed = await shell.run(command)
                assert reads_like(shown, printed), f"$ {command}\nshown:\n{shown}\nprinted:\n{printed}"

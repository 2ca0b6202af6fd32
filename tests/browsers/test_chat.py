"""The chat of the examples, between all kinds of members.

With SCREENSHOTS in the environment, a page of each browser leaves a picture of itself in that directory.
"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.browsers.browser import LAUNCHERS, Page

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(90)]

CHAT = Path(__file__).parents[2] / "examples" / "chat"


@asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[Process]:
    """A Python program, as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-u", *command, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class Member(Protocol):
    """Somebody in the chat."""

    async def say(self, line: str) -> None:
        """Tell all."""

    async def heard(self, count: int) -> list[str]:
        """Wait until there are so many lines, and return them."""


class Visitor:
    """One in a browser."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def join(self, name: str) -> None:
        """Fill in the form and submit it."""
        await self._page.evaluate(
            "async (name) => { document.querySelector('#name').value = name; document.querySelector('#join button').click() }", name
        )

    async def say(self, line: str) -> None:
        """The same with the other form."""
        await self._page.evaluate(
            "async (line) => { document.querySelector('#line').value = line; document.querySelector('#say button').click() }", line
        )

    async def heard(self, count: int) -> list[str]:
        """What the list shows."""
        lines: list[str] = await self._page.evaluate(
            """async (count) => {
                const list = document.querySelector("#lines");
                if (list.children.length < count) await new Promise((resolve) => {
                    const observer = new MutationObserver(() => list.children.length >= count && (observer.disconnect(), resolve()));
                    observer.observe(list, {childList: true});
                });
                return [...list.children].map((item) => item.textContent);
            }""",
            count,
        )
        return lines

    async def screenshot(self) -> bytes:
        """What is to be seen, as a PNG."""
        return await self._page.screenshot()


class Terminal:
    """One at a terminal."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lines: list[str] = []

    async def say(self, line: str) -> None:
        """Type it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def heard(self, count: int) -> list[str]:
        """What was printed."""
        assert self._process.stdout is not None
        while len(self._lines) < count:
            self._lines.append((await self._process.stdout.readline()).decode().rstrip("\n"))
        return self._lines

    async def leave(self) -> None:
        """Type no more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert await self._process.wait() == 0


async def test_all_kinds_of_members_hear_each_other() -> None:
    """Two pages in Chromium, one in Firefox and a Python client: all hear all, in one order, and who comes and goes."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(CHAT / "server.py", "0"))
        assert server.stdout is not None
        announced = "".join([(await server.stdout.readline()).decode() for _ in range(3)])
        match = re.fullmatch(r"open (http://\S+)\nserving (https://\S+)\ncertificate hash (\w+)\n", announced)
        assert match is not None
        opened, url, pin = match.groups()

        members: list[Member] = []
        visitors: list[Visitor] = []
        expected: list[str] = []
        since: list[int] = []

        async def all_hear(line: str) -> None:
            expected.append(line)
            for member, start in zip(members, since, strict=True):
                assert await member.heard(len(expected) - start) == expected[start:]

        chromium = await stack.enter_async_context(LAUNCHERS["chromium"]())
        firefox = await stack.enter_async_context(LAUNCHERS["firefox"]())
        for name, browser in (("Ada", chromium), ("Grace Hopper", chromium), ("Лев", firefox)):
            visitor = Visitor(await stack.enter_async_context(browser.page(opened)))
            visitors.append(visitor)
            members.append(visitor)
            since.append(len(expected))
            await visitor.join(name)
            await all_hear(f"{name} is here")
        terminal = Terminal(await stack.enter_async_context(running(CHAT / "client.py", url, pin, "lobby", "a/b")))
        members.append(terminal)
        since.append(len(expected))
        await all_hear("a/b is here")
        for member, name in zip(members, ("Ada", "Grace Hopper", "Лев", "a/b"), strict=True):
            await member.say(f"hello from {name}, ü <b>")
            await all_hear(f"{name}: hello from {name}, ü <b>")
        members.remove(terminal)
        since.pop()
        await terminal.leave()
        await all_hear("a/b has left")
        if directory := os.environ.get("SCREENSHOTS"):
            for browser, visitor in ((chromium, visitors[0]), (firefox, visitors[-1])):
                Path(directory, f"chat-{browser.name}.png").write_bytes(await visitor.screenshot())

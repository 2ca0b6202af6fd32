"""The code of a page of the documentation, and how it is run.

The blocks of a page share one namespace, from the top to the bottom; ``await`` works in them as it does in a coroutine. What is not
shown to readers stands in HTML comments:

- ``<!-- stage: NAME -->``: from here on with what the stage of that name (`stages.py`) provides, and nothing else;
- ``<!-- check: CODE -->``: code that runs at this place, to make what was shown happen, and to look whether it did;
- ``<!-- prints -->``: the next block is what the code since the last such comment, or since the stage, has printed.

A block with a ``title`` is a file, written to the directory in which the page runs. A ``console`` block runs commands there, each after a
``$``, and has lines of what they print, in which ``...`` stands for anything. A server is interrupted at the next stage, or when the
page ends; it, like the other commands, exits with 0. So that pages can run at the same time, the well-known ports in them become free ones.
"""

import ast
import asyncio
import builtins
import contextlib
import io
import os
import re
import shlex
import signal
import sys
import textwrap
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).parents[2]

_ITEM = re.compile(
    r"^(?P<indent> *)(?:```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$"
    r"|<!-- (?P<kind>stage|check|prints)(?::\s*(?P<text>.*?))? ?-->$)",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = (
    "pip ",
    "make",
    "sudo ",
    "git ",
    "docker ",
    "export ",
    "SSLKEYLOGFILE",
)  # what installs, needs root, or asks a shell to remember
_PATIENCE = 60.0  # seconds for a command to print what it should


@dataclass(frozen=True)
class Item:
    """A block of code, or a comment that is for the tests."""

    page: Path
    line: int
    kind: str
    """The language of a block, or the first word of a comment."""
    text: str
    title: str | None = None

    @property
    def where(self) -> str:
        """For tracebacks, which show the line then."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def items(page: Path) -> Iterator[Item]:
    """What there is to run on a page."""
    source = page.read_text(encoding="utf-8")
    for match in _ITEM.finditer(source):
        line = source.count("\n", 0, match.start()) + 1
        if match["language"]:
            title = re.search(r'title="([^"]+)"', match["options"])
            yield Item(page, line, match["language"], textwrap.dedent(match["code"]), title and title[1])
        else:
            yield Item(page, line, match["kind"], textwrap.dedent(match["text"] or "").strip())


async def run(page: Path, directory: Path, stage: Callable[[str], Any], ports: dict[str, str]) -> None:
    """Run all code of a page in *directory*; AssertionError, or whatever it raises, if it does not do what the page says."""
    namespace: dict[str, Any] = {"__name__": "page"}
    printed = io.StringIO()
    async with AsyncExitStack() as everything:
        staged = await everything.enter_async_context(AsyncExitStack())
        running = await everything.enter_async_context(AsyncExitStack())
        start = await running.enter_async_context(_commands(directory))
        expected = False
        for item in items(page):
            text = re.sub("|".join(ports), lambda match: ports[match[0]], item.text)
            if item.title is not None:
                (directory / item.title).write_text(text, encoding="utf-8")
                if item.kind == "python":
                    compile(text, item.where, "exec")
            elif item.kind == "stage":
                await running.aclose()
                await staged.aclose()
                start = await running.enter_async_context(_commands(directory))
                namespace = {"__name__": "page", **await staged.enter_async_context(stage(text))}
                printed.truncate(printed.seek(0))
            elif item.kind == "prints":
                expected = True
            elif item.kind == "console":
                await _console(item, text, start)
            elif item.kind in ("python", "check"):
                await _execute(item, text, namespace, printed)
            elif expected:
                assert _matches(text, printed.getvalue()), f"{item.where} says {text!r}, but what is printed is {printed.getvalue()!r}"
                printed.truncate(printed.seek(0))
                expected = False


async def _execute(item: Item, text: str, namespace: dict[str, Any], printed: io.StringIO) -> None:
    tree = ast.parse("\n" * (item.line if item.kind == "python" else item.line - 1) + text, str(item.page))
    code: CodeType = compile(tree, str(item.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    namespace.setdefault("print", lambda *args, **options: builtins.print(*args, **{"file": printed, **options}))
    waiting = eval(code, namespace)  # our own pages
    if waiting is not None:
        await waiting


def _matches(pattern: str, text: str) -> bool:
    """Whether *text* reads like *pattern*, in which ``...`` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.strip().split("..."))), text.strip(), re.DOTALL) is not None


@asynccontextmanager
async def _commands(directory: Path) -> AsyncIterator[Callable[[str], Any]]:
    """Starts commands in *directory*; leaving the context, they end well, servers by SIGINT."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "PYTEST_ADDOPTS": "-p pywebtransport._pytest_plugin",  # which comes by itself where the wheel is installed, but not from sources
    }
    running: list[tuple[str, Process]] = []

    async def start(command: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command), cwd=directory, env=environment, stdout=PIPE, stderr=STDOUT, start_new_session=True
        )
        running.append((command, process))
        return process

    try:
        yield start
        for command, process in reversed(running):
            if _serves(directory, command):
                process.send_signal(signal.SIGINT)
            output, _ = await asyncio.wait_for(process.communicate(), _PATIENCE)
            assert process.returncode == 0, f"{command!r} ended with {process.returncode}:\n{output.decode()}"
    finally:
        for _, process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _serves(directory: Path, command: str) -> bool:
    """Whether a command runs a server, which does not end by itself."""
    script = directory / shlex.split(command)[1]
    return script.is_file() and re.search(r"\bServer(App)?\(", script.read_text(encoding="utf-8")) is not None


async def _console(item: Item, text: str, start: Callable[[str], Any]) -> None:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        if command.startswith(_NOT_RUN):
            continue
        process = await start(command)
        seen = ""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not _matches(f"...{output.strip()}...", seen):
                    line = await process.stdout.readline()
                    assert line, f"{item.where}: {command!r} ended with {await process.wait()}, and what it printed is:\n{seen}"
                    seen += line.decode()
                if not output.strip():  # nothing to see: so it is over when it is
                    seen += (await process.communicate())[0].decode()
                    assert process.returncode == 0, f"{item.where}: {command!r} ended with {process.returncode}:\n{seen}"
        except TimeoutError:
            raise AssertionError(f"{item.where}: {command!r} should print {output!r}, and has printed {seen!r}") from None

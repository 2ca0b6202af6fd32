"""Chromium and Firefox behind one small interface: open a page, run an async function in it, get its JSON back.

Chromium is driven by Playwright. Debian's Firefox has no driver that Playwright could use, but speaks Marionette, its own remote
protocol: JSON messages, each after its length in bytes and a colon, a command ``[0, id, name, parameters]`` answered by
``[1, id, error, result]``.
"""

import asyncio
import base64
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import playwright.async_api

# What a page function returns, or throws, as JSON: an error of the WebTransport API has members that a driver would drop.
_CALL = """async (source, parameters) => {
    try {
        const value = await window.eval(`(${source})`)(...JSON.parse(parameters));
        return JSON.stringify({value: value ?? null});
    } catch (error) {
        const {name, message, source, streamErrorCode} = error;
        return JSON.stringify({error: {name, message, source: source ?? null, code: streamErrorCode ?? null}});
    }
}"""

_LAUNCH_TIMEOUT = 60.0  # seconds: a first start on a cold disk
_SCRIPT_TIMEOUT = 120.0  # seconds: longer than any test's own


class PageError(Exception):
    """A page function threw: *name* is the class of the error, *source* and *code* are those of a ``WebTransportError``."""

    def __init__(self, name: str, message: str, source: str | None, code: int | None) -> None:
        super().__init__(name, message, source, code)
        self.name, self.message, self.source, self.code = name, message, source, code

    def __str__(self) -> str:
        return f"the page threw {self.name}: {self.message} (source {self.source}, code {self.code})"


class Page(Protocol):
    """A page that is open in a browser."""

    async def evaluate(self, function: str, *arguments: object) -> Any:
        """Call *function*, the source of a JavaScript function, and wait for what it returns.

        Args:
            arguments: JSON values.
        Returns:
            The JSON value that the function returned, its promise resolved; None for ``undefined``.
        Raises:
            PageError: The function threw.
        """

    async def navigate(self, url: str) -> None:
        """Leave for another page, and wait until it has loaded."""

    async def screenshot(self) -> bytes:
        """What is to be seen, as a PNG."""


class Browser(Protocol):
    """A running browser."""

    name: str

    def page(self, url: str) -> AbstractAsyncContextManager[Page]:
        """Open a fresh page at *url*; leaving the context closes it."""


def _unwrap(answer: str) -> Any:
    result = json.loads(answer)
    if "error" in result:
        raise PageError(**result["error"])
    return result["value"]


class _ChromiumPage:
    def __init__(self, page: playwright.async_api.Page) -> None:
        self._page = page

    async def evaluate(self, function: str, *arguments: object) -> Any:
        return _unwrap(await self._page.evaluate(f"call => ({_CALL})(...call)", [function, json.dumps(arguments)]))

    async def navigate(self, url: str) -> None:
        await self._page.goto(url)

    async def screenshot(self) -> bytes:
        return await self._page.screenshot()


class _Chromium:
    name = "chromium"

    def __init__(self, browser: playwright.async_api.Browser) -> None:
        self._browser = browser

    @asynccontextmanager
    async def page(self, url: str) -> AsyncIterator[Page]:
        async with await self._browser.new_context(viewport={"width": 800, "height": 500}) as context:
            page = await context.new_page()
            await page.goto(url)
            yield _ChromiumPage(page)


class _Marionette:
    """The connection to a Firefox."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def command(self, name: str, **parameters: object) -> Any:
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = json.dumps([0, number, name, parameters]).encode()
        self._writer.write(b"%d:%b" % (len(message), message))
        try:
            error, result = await answer
        finally:
            del self._waiting[number]
        if error is not None:
            raise RuntimeError(f"{name}: {error['error']}: {error['message']}")
        return result

    async def dispatch(self) -> None:
        """Hand every answer to the command that waits for it, until Firefox is gone."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._receive()  # the greeting
            while True:
                _, number, error, result = await self._receive()
                answer = self._waiting.get(number)
                if answer and not answer.done():  # else its caller was cancelled
                    answer.set_result((error, result))
        for answer in self._waiting.values():
            answer.cancel("firefox is gone")

    async def _receive(self) -> Any:
        length = await self._reader.readuntil(b":")
        return json.loads(await self._reader.readexactly(int(length[:-1])))


class _FirefoxPage:
    def __init__(self, marionette: _Marionette) -> None:
        self._marionette = marionette

    async def evaluate(self, function: str, *arguments: object) -> Any:
        answer = await self._marionette.command(
            "WebDriver:ExecuteScript", script=f"return ({_CALL})(...arguments)", args=[function, json.dumps(arguments)]
        )
        return _unwrap(answer["value"])

    async def navigate(self, url: str) -> None:
        await self._marionette.command("WebDriver:Navigate", url=url)

    async def screenshot(self) -> bytes:
        return base64.b64decode((await self._marionette.command("WebDriver:TakeScreenshot", full=False))["value"])


class _Firefox:
    name = "firefox"

    def __init__(self, marionette: _Marionette) -> None:
        self._marionette = marionette

    @asynccontextmanager
    async def page(self, url: str) -> AsyncIterator[Page]:
        command = self._marionette.command
        blank = (await command("WebDriver:GetWindowHandle"))["value"]
        fresh = (await command("WebDriver:NewWindow", type="tab"))["handle"]
        await command("WebDriver:SwitchToWindow", handle=fresh)
        try:
            page = _FirefoxPage(self._marionette)
            await page.navigate(url)
            yield page
        finally:
            await command("WebDriver:CloseWindow")
            await command("WebDriver:SwitchToWindow", handle=blank)


@asynccontextmanager
async def launch_chromium(*flags: str) -> AsyncIterator[Browser]:
    """Run Debian's Chromium, headless, with a profile of its own and *flags* on its command line."""
    async with playwright.async_api.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path="/usr/bin/chromium", args=flags, timeout=_LAUNCH_TIMEOUT * 1000)
        try:
            yield _Chromium(browser)
        finally:
            await browser.close()


@asynccontextmanager
async def launch_firefox() -> AsyncIterator[Browser]:
    """Run Debian's Firefox, headless, with a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        Path(profile, "user.js").write_text('user_pref("marionette.port", 0);\nuser_pref("app.update.disabledForTesting", true);\n')
        process = await asyncio.create_subprocess_exec(
            *("firefox-esr", "--headless", "--no-remote", "--marionette", "--profile", profile, "about:blank"),
            env=os.environ | {"HOME": profile},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout
        background: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(_LAUNCH_TIMEOUT):
                port = await _announced_port(process.stdout)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            marionette = _Marionette(reader, writer)
            background += asyncio.create_task(_discard(process.stdout)), asyncio.create_task(marionette.dispatch())
            async with asyncio.timeout(_LAUNCH_TIMEOUT):
                await marionette.command("WebDriver:NewSession", timeouts={"script": int(_SCRIPT_TIMEOUT * 1000)})
            try:
                yield _Firefox(marionette)
            finally:
                writer.close()
        finally:
            with suppress(ProcessLookupError):
                process.kill()  # its children end with it; a graceful end would but write to the profile
            await process.wait()
            await asyncio.gather(*background)


async def _announced_port(output: asyncio.StreamReader) -> int:
    """Read on until Firefox says on which port it waits for its driver."""
    lines = []
    async for line in output:
        lines.append(line)
        _, found, port = line.partition(b"Listening on port ")
        if found:
            return int(port)
    raise RuntimeError(f"firefox ended before it could be driven: {b''.join(lines).decode(errors='replace')}")


async def _discard(output: asyncio.StreamReader) -> None:
    while await output.read(65536):
        pass


LAUNCHERS = {"chromium": launch_chromium, "firefox": launch_firefox}

"""The page that `ServerApp.run` serves for development, in a real browser."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE

import pytest

from tests.browsers.browser import Browser, Page
from tests.browsers.test_examples import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]

SERVER = """
import asyncio
from pywebtransport import ServerApp

app = ServerApp()

@app.route("/echo")
async def echo(session):
    async def datagrams():
        while True:
            await session.send_datagram(await session.read_datagram())

    echoing = asyncio.create_task(datagrams())
    async for stream in session.incoming_streams():
        if hasattr(stream, "write_all"):
            await stream.write_all(await stream.read_all())
        else:
            async with await session.create_unidirectional_stream() as answer:
                await answer.write(await stream.read_all())
    echoing.cancel()

app.run("127.0.0.1", 0, dev=True)
"""


async def click(page: Page, button: str, expected: str) -> None:
    """Click a button, and wait until the page says what is expected."""
    await page.evaluate("(button) => document.querySelector(button).click()", button)
    await until(page, f"() => document.querySelector('#log').textContent.includes({json.dumps(expected)})")


async def test_page_tries_out_a_server(browser: Browser) -> None:
    """It connects by the hash that is built in, sends what it can send, shows what comes, and closes."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=PIPE)
    try:
        assert process.stdout is not None
        opened = re.fullmatch(r"open (http://\S+)\n", (await process.stdout.readline()).decode())
        assert opened is not None
        async with browser.page(opened[1]) as page:
            assert await page.evaluate("async () => document.querySelector('#path').value") == "/echo"
            await click(page, "#connect button", "connected to /echo")
            await click(page, "[value=bidirectional]", "received, answer: Hello, WebTransport!")
            await click(page, "[value=unidirectional]", "received, unidirectional: Hello, WebTransport!")
            await click(page, "[value=datagram]", "received, datagram: Hello, WebTransport!")
            await click(page, "#close", "closed with code 0: bye")
            assert await page.evaluate("() => document.querySelector('#log').children.length") == 8
            await page.evaluate("async () => { document.querySelector('#path').value = '/nowhere' }")
            await click(page, "#connect button", "is it a path that the server has?")
    finally:
        process.kill()
        await process.communicate()

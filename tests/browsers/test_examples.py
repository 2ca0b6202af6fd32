"""The pages of the examples do in Chromium and Firefox what their READMEs say.

With SCREENSHOTS in the environment, each leaves a picture of itself in that directory.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from tests.browsers.browser import Browser, Page
from tests.examples.running import EXAMPLES, Example, running

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]

Open = Callable[[str], AbstractAsyncContextManager[Page]]

# Waits until a function of the page gives something: pages that are not shown are not drawn, so it looks fifty times a second.
UNTIL = """async (text) => {
    const look = window.eval(text);
    for (;;) {
        const found = look();
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def show(browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Opens a page."""

    @asynccontextmanager
    async def show(url: str) -> AsyncIterator[Page]:
        async with browser.page(url) as page:
            yield page
            if directory := os.environ.get("SCREENSHOTS"):
                name = f"{request.node.originalname.removeprefix('test_')}-{browser.name}.png"
                Path(directory, name).write_bytes(await page.screenshot())

    yield show


def page_of(example: Example) -> str:
    """The address of an example's page."""
    assert example.page
    return example.page


async def until(page: Page, condition: str) -> object:
    """What *condition*, a function of the page, gives once it gives something."""
    return await page.evaluate(UNTIL, f"({condition})")


async def test_echo(show: Open) -> None:
    """Every kind of echo, by its button."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(EXAMPLES / "echo")))
    Thread(target=http.serve_forever, daemon=True).start()
    try:
        async with running("echo", "--host", "127.0.0.1") as example:
            query = urlencode({"url": example.url, "hash": example.hash})
            async with show(f"http://127.0.0.1:{http.server_port}/page.html?{query}") as page:
                await page.evaluate("""() => document.querySelector("#connect button").click()""")
                await until(page, """() => document.getElementById("state").textContent === "connected" """)
                for kind in ("bidirectional stream", "unidirectional streams", "datagram"):
                    await page.evaluate("(kind) => document.querySelector(`[data-echo='${kind}']`).click()", kind)
                    shown = f"document.querySelector(\"[data-echo='{kind}']\").nextElementSibling.textContent"
                    assert "ms" in str(await until(page, f"() => {shown}"))
    finally:
        http.shutdown()
        http.server_close()


async def test_upload(show: Open, tmp_path: Path) -> None:
    """A file arrives whole, and one that is cancelled not at all."""
    async with running("upload", "--directory", str(tmp_path)) as example, show(page_of(example)) as page:
        size = 3 << 20
        answer = await page.evaluate(
            """async (size) => {
                const data = new Uint8Array(size).map((_, index) => index % 251);
                const transfer = new DataTransfer();
                transfer.items.add(new File([data], "from a page.bin"));
                document.getElementById("file").files = transfer.files;
                document.getElementById("file").dispatchEvent(new Event("change"));
            }""",
            size,
        )
        answer = await until(page, """() => document.getElementById("result").textContent.match(/SHA-256 [0-9a-f]{64}/)?.[0]""")
        await example.line("from a page.bin: 3145728 bytes")
        assert answer
        assert (tmp_path / "from a page.bin").read_bytes() == bytes(index % 251 for index in range(size))
        ended = await page.evaluate(
            """async () => {
                const sending = upload(new File([new Uint8Array(200 << 20)], "never.bin"));
                cancel.abort();
                return sending.then(() => "sent", () => "cancelled");
            }"""
        )
        assert ended == "cancelled"
    assert [path.name for path in tmp_path.iterdir()] == ["from a page.bin"]


async def test_telemetry(show: Open) -> None:
    """Samples come and are drawn."""
    async with running("telemetry") as example, show(page_of(example)) as page:
        assert await until(page, "() => samples.length >= 40 && newest")
        drawn = """() => document.getElementById("chart").getContext("2d").getImageData(0, 0, 1200, 400).data.some((value) => value)"""
        assert await until(page, drawn)


async def test_inference(show: Open) -> None:
    """Words come one after the other, and cancelling stops the work at the server."""
    async with running("inference") as example, show(page_of(example)) as page:
        await page.evaluate("""() => document.getElementById("ask").requestSubmit()""")
        assert await until(page, """() => document.getElementById("text").textContent.split(" ").length > 20""")
        await page.evaluate("""() => document.getElementById("cancel").click()""")
        stopped = await example.line(r"stopped after (\d+) words: ")
        assert int(stopped[1]) < 1000
        assert await until(page, """() => !document.getElementById("go").disabled""")


async def test_game(show: Open) -> None:
    """A key moves the player, as the server has it."""
    async with running("game") as example, show(page_of(example)) as page:
        assert await until(page, "() => world && world.players[me]")
        before = await page.evaluate("() => world.players[me]")
        key = "ArrowRight" if before[0] < 500 else "ArrowLeft"
        await page.evaluate("(key) => { window.dispatchEvent(new KeyboardEvent('keydown', {key})); }", key)
        assert await until(page, f"() => Math.abs(world.players[me][0] - {before[0]}) > 50")
        await example.client("--ticks", "20")


async def test_starlette(show: Open) -> None:
    """What anybody presses, every page hears of."""
    async with running("starlette", "--http-port", "0") as example, show(page_of(example)) as page:
        assert await until(page, """() => document.getElementById("state").textContent === "connected" """)
        await example.client(page_of(example))
        await page.evaluate("""() => { document.getElementById("press").click(); }""")
        assert await until(page, """() => document.getElementById("count").textContent === "4" """)

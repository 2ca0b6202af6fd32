"""The board of the tutorial, as the reader has it at the end: two visitors see each other's strokes and pointers."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browsers.browser import Browser
from tests.browsers.test_examples import until
from tests.docs.blocks import ROOT, items
from tests.ports import free_ports

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]

# Draws with the pointer, as a hand does; places are those of the canvas.
DRAW = """(points) => {
    const {left, top, width, height} = canvas.getBoundingClientRect();
    const fire = (type, [x, y]) => canvas.dispatchEvent(new PointerEvent(type, {
        bubbles: true, clientX: left + x * width / canvas.width, clientY: top + y * height / canvas.height,
    }));
    fire("pointerdown", points[0]);
    for (const point of points) fire("pointermove", point);
    fire("pointerup", points[0]);
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def board(tmp_path: Path) -> AsyncIterator[str]:
    """Runs board.py in a directory with all files of the tutorial, and gives the address of its page."""
    port = str(next(free_ports()))
    for item in items(ROOT / "docs/tutorial.md"):
        if item.title is not None:
            (tmp_path / item.title).write_text(item.text.replace("4433", port), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(sys.executable, "board.py", cwd=tmp_path, stdout=PIPE, stderr=STDOUT)
    assert process.stdout
    try:
        yield (await process.stdout.readline()).decode().removeprefix("open ").strip()
    finally:
        process.kill()
        await process.wait()


async def test_two_visitors(browser: Browser, board: str, tmp_path: Path) -> None:
    """What a program has drawn before is there, and what the page draws comes back to it."""
    spiral = await asyncio.create_subprocess_exec(sys.executable, "spiral.py", cwd=tmp_path, stdout=PIPE, stderr=STDOUT)
    output, _ = await spiral.communicate()
    assert spiral.returncode == 0, output.decode()
    async with browser.page(board) as page:
        assert await until(page, "() => me && strokes.length === 1 && strokes[0].points.length === 200")
        await page.evaluate(DRAW, [[100, 100], [200, 500], [300, 100], [400, 500]])
        assert await until(page, "() => strokes.length === 2 && strokes[1].who === me")
        if directory := os.environ.get("SCREENSHOTS"):
            Path(directory, f"board-{browser.name}.png").write_bytes(await page.screenshot())

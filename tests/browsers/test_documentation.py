"""The JavaScript of the README and of the documentation runs in pages, against a server that sends back what comes."""

import asyncio
from pathlib import Path

import pytest

from tests.browsers.meeting import Meeting
from tests.docs.blocks import ROOT, items
from tests.docs.stages import serve_echoes

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]

PAGES = {
    page: code
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if (code := "\n".join(item.text for item in items(page) if item.kind == "js" and item.title is None))
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
async def test_page(meet: Meeting, page: Path) -> None:
    """All blocks of a page, one after the other; `hash` is that of the certificate, in hexadecimal."""
    url = f"https://127.0.0.1:{meet.server.local_addr[1]}"
    serving = asyncio.create_task(serve_echoes(meet.server))
    try:
        await meet.page.evaluate(f"async (hash) => {{ {PAGES[page].replace('https://localhost:4433', url)} }}", meet.certificate_hash)
    finally:
        serving.cancel()
        await asyncio.wait([serving])

"""Every block of Python on every page of the documentation, and in the README, runs and does what the page says."""

from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, items, run
from tests.docs.stages import STAGES
from tests.ports import free_ports

PAGES = [
    page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if any(item.kind == "python" for item in items(page))
]


@pytest.mark.deadline(90)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
async def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader copies from a page works."""
    monkeypatch.chdir(tmp_path)
    ports = dict(zip(["4433", "8000"], map(str, free_ports()), strict=False))
    await run(page, tmp_path, lambda name: STAGES[name](), ports)

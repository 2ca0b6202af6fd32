"""Every block of Python on every page of the documentation, and in the README, runs and does what the page says."""

import socket
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, items, run
from tests.docs.stages import STAGES

PAGES = [
    page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if any(item.kind == "python" for item in items(page))
]


def free_port(kind: socket.SocketKind) -> str:
    """A port that nobody has now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.deadline(90)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
async def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader copies from a page works."""
    monkeypatch.chdir(tmp_path)
    ports = {"4433": free_port(socket.SOCK_DGRAM), "8000": free_port(socket.SOCK_STREAM)}
    await run(page, tmp_path, lambda name: STAGES[name](), ports)

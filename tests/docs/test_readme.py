"""What the README says of others is what was found out about them."""

import re

from tests.docs.blocks import ROOT


def column(page: str, role: str, peer: str) -> list[str]:
    """What docs/interop.md says of each feature of a peer in a role."""
    section = page.split(f"## The peer as a {role}\n")[1].split("\n## ", maxsplit=1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    if peer not in rows[0]:
        return []
    index = rows[0].index(peer)
    return [row[index] for row in rows[2:]]


def counted(cells: list[str]) -> str:
    """How many features work of those that the peer has; - if it is not there in that role."""
    there = [cell for cell in cells if not cell.startswith("-")]
    return "-" if not there else f"{sum(cell.startswith('yes') for cell in there)} of {len(there)}"


def test_the_table_of_peers_is_that_of_the_matrix() -> None:
    """Each row has a version that was tested, and the features that work in each role."""
    page = (ROOT / "docs/interop.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S[^|]*) (\d[\w.]*) \| (\d+ of \d+|-) \| (\d+ of \d+)(?: \[\^no\])? \|$", readme, re.MULTILINE)
    assert len(rows) >= 6
    for peer, version, *counts in rows:
        titles = re.findall(rf"^\| ({re.escape(peer)}(?: {re.escape(version)})?) \| {re.escape(version)} \|", page, re.MULTILINE)
        assert len(titles) == 1, f"{peer} {version} is not one peer of the page"
        assert counts == [counted(column(page, role, titles[0])) for role in ("server", "client")], peer

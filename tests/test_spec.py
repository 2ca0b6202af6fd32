"""`docs/spec.md` names tests that exist: one that is renamed or deleted is missed here."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = re.findall(r"^\| ((?:WT|H3) \d+) \|.*\| (.*) \|$", (ROOT / "docs/spec.md").read_text(), re.MULTILINE)
SOURCES = [path.read_text() for path in (ROOT / "crates/proto").rglob("*.rs")]
TESTS = {name for source in SOURCES for name in re.findall(r"#\[test\]\n *fn (\w+)", source)}
MODULES = {path.stem for path in (ROOT / "crates/proto/src").rglob("*.rs") if "mod tests" in path.read_text()}


def test_every_line_has_its_row():
    assert [row for row, _ in ROWS] == [f"WT {n}" for n in range(1, 92)] + [f"H3 {n}" for n in range(1, 28)]


@pytest.mark.parametrize(("row", "evidence"), ROWS)
def test_evidence_exists(row: str, evidence: str):
    named = set(re.findall(r"\b[a-z]+(?:_[a-z0-9]+){2,}\b", evidence))
    assert named <= TESTS
    assert set(re.findall(r"(\w+)::tests", evidence)) <= MODULES
    assert named or "::tests" in evidence or re.match(r"not yet: .|n/a: .|quinn-proto|every scenario", evidence), "no test, and no reason"

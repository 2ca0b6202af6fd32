"""The page ``docs/interop.md``: peer by role by feature, written from the reports of the tests that ran."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.roster import ROSTER, Peer, Role

FEATURES = {
    "connect": "a session, in the highest dialect of both",
    "bidi": "a bidirectional stream is echoed",
    "uni": "a unidirectional stream is answered with one",
    "datagram": "datagrams are echoed",
    "transfer": "16 MiB there and back, compared by hash",
    "reset": "the server sees the code of the client's reset",
    "stop": "the server sees the code of the client's stop",
    "reset_by_server": "the client sees the code of the server's reset",
    "stop_by_server": "the client sees the code of the server's stop",
    "close": "the server sees code and reason of the client's close",
    "close_by_server": "the client sees code and reason of the server's close",
    "reject": "the client sees the status of a rejection",
    "subprotocol": "a subprotocol is agreed on",
    "drain": "a session goes on after our DRAIN",
    "sessions": "sessions one after another, from one client",
    "side_by_side": "sessions at the same time, each with its connection",
    "pool": "several sessions at a time on one connection",
}

_HEAD = """# Interoperability

What works between this library and independent implementations, over loopback: each peer as a server with our client, and as a
client with our server. `make interop` builds the peers, runs the tests under `tests/interop` and writes this page from their results.

**yes**: tested, works. **no**: tested, and something else happens, which the note tells. **-**: the peer does not offer it. **FAILED**:
it should work.
"""


class Matrix:
    """A pytest plugin that collects the results and writes the page at the end."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._cells: dict[tuple[str, Role, str], str] = {}
        self._notes: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "interop" not in properties or (report.when != "call" and report.passed):
            return
        cell: tuple[str, Role, str] = properties["interop"]  # type: ignore[assignment]
        if report.failed:
            self._cells[cell] = "**FAILED**"
        elif why := properties.get("why"):
            self._cells[cell] = f"{'-' if report.skipped else 'no'} {self._note(str(why))}"
        else:
            self._cells[cell] = "-" if report.skipped else "yes"

    def _note(self, why: str) -> str:
        if why not in self._notes:
            self._notes.append(why)
        return f"[{self._notes.index(why) + 1}]"

    def pytest_sessionfinish(self) -> None:
        self._page.write_text("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        yield _HEAD
        yield "| peer | version | from | dialect |"
        yield "|---|---|---|---|"
        for peer in ROSTER:
            yield f"| {_title(peer)} | {peer.version} | {peer.source} | {peer.dialect} |"
        for role in ("server", "client"):
            yield f"\n## The peer as a {role}\n"
            yield "| | " + " | ".join(map(_title, ROSTER)) + " |"
            yield "|---|" + "---|" * len(ROSTER)
            for feature, title in FEATURES.items():
                cells = [self._cells.get((peer.name, role, feature), "") for peer in ROSTER]
                if any(cells):
                    yield f"| {title} | " + " | ".join(cells) + " |"
        if self._notes:
            yield "\n## Notes\n"
            for number, why in enumerate(self._notes, 1):
                yield f"{number}. {why}"
        yield ""


def _title(peer: Peer) -> str:
    same = [other for other in ROSTER if other.library == peer.library]
    return peer.library if len(same) == 1 else f"{peer.library} ({peer.source})"

"""The page ``docs/interop.md`` and its picture: peer by role by feature, written from the reports of the tests that ran."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.picture import Table, drawn
from tests.interop.roster import BROWSERS, ROSTER, Peer, Role, browser

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

![What works with whom](assets/interop.svg)
"""

_RUNNER = """
## The interop runner's test cases

The cases that [quic-interop-runner](https://github.com/quic-interop/quic-interop-runner) has for WebTransport, played as it does,
each side with directories of its own, and checked as it does: every file is there and is the same, and there was one handshake.
`python -m pywebtransport.interop.runner` is our side.
"""


@dataclass(frozen=True)
class Cell:
    """What became of a feature with a peer."""

    word: str
    """yes, no, - or FAILED."""
    note: int | None = None

    def __str__(self) -> str:
        word = f"**{self.word}**" if self.word == "FAILED" else self.word
        return word if self.note is None else f"{word} [{self.note}]"


class Matrix:
    """A pytest plugin that collects the results and writes the page at the end."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._cells: dict[tuple[str, str, str], Cell] = {}
        self._matches: dict[str, dict[str, Cell]] = {}
        self._notes: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if report.when != "call" and report.passed:
            return
        why = properties.get("why")
        word = "FAILED" if report.failed else "-" if report.skipped else "no" if why else "yes"
        cell = Cell(word, self._note(str(why)) if why and not report.failed else None)
        if "interop" in properties:
            self._cells[properties["interop"]] = cell  # type: ignore[index]
        elif "match" in properties:
            case, sides = map(str, properties["match"])  # type: ignore[call-overload]
            self._matches.setdefault(case, {})[sides] = cell

    def _note(self, why: str) -> int:
        if why not in self._notes:
            self._notes.append(why)
        return self._notes.index(why) + 1

    def pytest_sessionfinish(self) -> None:
        self._page.write_text("\n".join(self._lines()))
        picture = self._page.parent / "assets" / "interop.svg"
        picture.parent.mkdir(exist_ok=True)
        picture.write_text(drawn([self._picture(role) for role in ("server", "client")]))

    def _peers(self, role: Role) -> list[Peer]:
        return [*(map(browser, BROWSERS) if role == "client" else ()), *ROSTER]

    def _rows(self, role: Role) -> Iterator[tuple[str, list[Cell | None]]]:
        for feature, title in FEATURES.items():
            cells = [self._cells.get((peer.name, role, feature)) for peer in self._peers(role)]
            if any(cells):
                yield title, cells

    def _picture(self, role: Role) -> Table:
        rows = [(title, [cell.word if cell else "" for cell in cells]) for title, cells in self._rows(role)]
        return Table(f"The peer as a {role}", [_title(peer) for peer in self._peers(role)], rows)

    def _lines(self) -> Iterator[str]:
        yield _HEAD
        yield from _table(["peer", "version", "from", "dialect"])
        for peer in self._peers("client"):
            yield _row([_title(peer), peer.version, peer.source, peer.dialect])
        for role in ("server", "client"):
            yield f"\n## The peer as a {role}\n"
            yield from _table(["", *map(_title, self._peers(role))])
            for title, cells in self._rows(role):
                yield _row([title, *(str(cell or "") for cell in cells)])
        if self._matches:
            yield _RUNNER
            sides = list(dict.fromkeys(side for by_sides in self._matches.values() for side in by_sides))
            yield from _table(["", *sides])
            for case, by_sides in self._matches.items():
                yield _row([case, *(str(by_sides.get(side, "")) for side in sides)])
        if self._notes:
            yield "\n## Notes\n"
            for number, why in enumerate(self._notes, 1):
                yield f"{number}. {why}"
        yield ""


def _table(titles: list[str]) -> Iterator[str]:
    yield _row(titles)
    yield "|---" * len(titles) + "|"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _title(peer: Peer) -> str:
    same = [other for other in ROSTER if other.library == peer.library]
    if len(same) < 2:
        return peer.library
    return f"{peer.library} {peer.version}" if len({other.source for other in same}) == 1 else f"{peer.library} ({peer.source})"

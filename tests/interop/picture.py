"""Tables of results as a picture, in SVG: a coloured square for each cell, with a sign that does without the colour."""

from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

CELL, GAP = 26, 2  # pixels
LEFT, HEAD, TITLE = 380, 190, 40  # room for the titles of rows, of columns, and of the table
SLANT = 80  # room for the last title of a column, which leans over
SIGNS = {"yes": ("#2e7d32", "✓"), "no": ("#b26a00", "!"), "-": ("#9e9e9e", "-"), "FAILED": ("#c62828", "✗")}
MEANINGS = {"yes": "works", "no": "differs: see the notes", "-": "not offered by the peer", "FAILED": "should work, and does not"}


class Table(NamedTuple):
    """What is drawn."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    """The title of each, and a word of `SIGNS`, or "", for each column."""


def drawn(tables: list[Table]) -> str:
    """The picture: one table below the other, and what the signs mean."""
    width = LEFT + max(len(table.columns) for table in tables) * (CELL + GAP) + SLANT
    height = 0
    parts: list[str] = []
    for table in tables:
        parts += _table(table, height)
        height += TITLE + HEAD + len(table.rows) * (CELL + GAP) + 20
    parts += _legend(height)
    height += CELL + 20
    style = "text { font: 13px sans-serif; fill: #212121 } .title { font-weight: bold; font-size: 15px }"
    style += " .sign { fill: #fff; text-anchor: middle }"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
        f"<title>What works with whom</title>\n<style>{style}</style>\n"
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n<g>\n' + "\n".join(parts) + "\n</g>\n</svg>\n"
    )


def _table(table: Table, top: int) -> Iterator[str]:
    yield f'<text class="title" x="10" y="{top + 28}">{escape(table.title)}</text>'
    bottom = top + TITLE + HEAD
    for column, title in enumerate(table.columns):
        x, y = LEFT + column * (CELL + GAP) + CELL // 2, bottom - 8
        yield f'<text x="{x}" y="{y}" transform="rotate(-60 {x} {y})">{escape(title)}</text>'
    for row, (title, words) in enumerate(table.rows):
        y = bottom + row * (CELL + GAP)
        yield f'<text x="{LEFT - 10}" y="{y + 18}" text-anchor="end">{escape(title)}</text>'
        for column, word in enumerate(words):
            if word:
                yield _square(LEFT + column * (CELL + GAP), y, word, f"{table.columns[column]}: {title}: {MEANINGS[word]}")


def _legend(top: int) -> Iterator[str]:
    for number, (word, meaning) in enumerate(MEANINGS.items()):
        x = 10 + number * 190
        yield _square(x, top, word, meaning)
        yield f'<text x="{x + CELL + 6}" y="{top + 18}">{escape(meaning)}</text>'


def _square(x: int, y: int, word: str, title: str) -> str:
    colour, sign = SIGNS[word]
    return (
        f'<g><title>{escape(title)}</title><rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="4" fill="{colour}"/>'
        f'<text class="sign" x="{x + CELL // 2}" y="{y + 18}">{sign}</text></g>'
    )

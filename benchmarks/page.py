"""Write what was measured down for readers: ``python -m benchmarks.page`` makes docs/benchmarks.md and its chart of the JSON files."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import chart, report, roster

DOCS = roster.ROOT / "docs"
BUILD = roster.ROOT / "build"
PAGE = """# Benchmarks

{columns} on one machine, in one run: server and client are two processes over loopback, the libraries take turns, and a figure is
the median of {rounds} rounds of {seconds} seconds. `make bench` makes them anew, `benchmarks/README.md` says how. Machines are noisy, and
yours is another one: what holds is the ratio of the figures in one table.

![Bars of six of the figures below](benchmarks.svg)

Measured {time}, {system}, {processors} processors.

## Libraries

WebSockets over TLS are no WebTransport, but what there is instead: a TCP connection for each stream, and messages for datagrams, none of
which gets lost. aioquic and qh3 bring HTTP/3 and leave WebTransport to the application: here to one that does no more than it must.

{libraries}
## Floors

What is to be had without Python: the same scenarios between two Rust programs on our own reactor, and on bare quinn, which is QUIC alone.
Packets are as long as loopback carries them, or as long as an Ethernet does.

{floors}
## Where there is much of something

{extremes}"""


def load(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(file.read_text())
    return read


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks.page"
    )
    parser.add_argument("--results", type=Path, default=BUILD / "benchmarks.json", help="of all libraries (%(default)s)")
    parser.add_argument("--extremes", type=Path, default=BUILD / "benchmarks-extremes.json", help="of ours alone (%(default)s)")
    arguments = parser.parse_args()
    measured, extremes = load(arguments.results), load(arguments.extremes)
    results = measured["results"]
    libraries = {each.name: each.title for each in roster.ROSTER if each.name in results}
    floors = {each.name: each.title for each in roster.FLOORS if each.name in results}
    ours = [each.name for each in roster.ROSTER if each.name in results and not each.requirement]

    def table(metrics: tuple[report.Metric, ...], of: dict[str, Any], titles: dict[str, str]) -> str:
        return report.markdown(metrics, {name: of[name] for name in titles}, titles, spread=False)

    text = PAGE.format(
        columns=f"{len(libraries)} ways to do it in Python",
        rounds=measured["rounds"],
        seconds=measured["seconds"],
        **measured["machine"],
        libraries=table(report.METRICS, results, libraries),
        floors=table(report.METRICS, results, {"ours": libraries["ours"], **floors}),
        extremes=table(report.EXTREMES, extremes["results"], {"ours": libraries["ours"]}),
    )
    (DOCS / "benchmarks.md").write_text(text)
    (DOCS / "benchmarks.svg").write_text(chart.chart({name: results[name] for name in libraries}, libraries, ours))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A chart of the figures that say most, as SVG: for each of them a panel, for each library a bar."""

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.report import METRICS, Cell, Metric, Results, cell, number

PANELS = {
    "upload": "Upload, MB/s",
    "rpc": "Stream RPC, p50 µs",
    "rpc-64": "Stream RPC, 64 in flight, per second",
    "datagram": "Datagram echo, p50 µs",
    "flood-64": "Datagrams of 64 B received, per second",
    "connect": "Connections with a session, per second",
}
COLUMNS = 2
PANEL, LABEL, BAR, ROW, HEAD, GAP = 490, 204, 206, 22, 34, 24  # pixels
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 14px } .note { fill: #57606a }
.bar { fill: #b6bec8 } .ours { fill: #1f6feb } .bold { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #8b949e } .bar { fill: #484f58 } .ours { fill: #4493f8 }
}
"""


def chart(results: Results, titles: Mapping[str, str], ours: Sequence[str]) -> str:
    """The panels; the bars of *ours* stand out."""
    metrics = [next(metric for metric in METRICS if metric.scenario == scenario) for scenario in PANELS]
    height = HEAD + ROW * len(results) + GAP
    rows = -(-len(metrics) // COLUMNS)
    width, whole = PANEL * COLUMNS, height * rows
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}" width="{width}" height="{whole}" role="img">']
    parts.append(f"<title>WebTransport libraries for Python, compared</title><style>{STYLE}</style>")
    for index, metric in enumerate(metrics):
        cells = {name: cell(metric, scenarios.get(metric.scenario, ())) for name, scenarios in results.items()}
        place = f"translate({index % COLUMNS * PANEL},{index // COLUMNS * height})"
        parts.append(f'<g transform="{place}">{_panel(metric, cells, titles, ours)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(metric: Metric, cells: Mapping[str, Cell], titles: Mapping[str, str], ours: Sequence[str]) -> str:
    direction = "more is better" if metric.more_is_better else "less is better"
    most = max((each.summary.median for each in cells.values() if each.summary), default=1.0)
    parts = [f'<text class="title" y="18">{escape(PANELS[metric.scenario])} <tspan class="note">({direction})</tspan></text>']
    for row, (name, each) in enumerate(cells.items()):
        y = HEAD + row * ROW
        mark = ' class="bold"' if name in ours else ""
        parts.append(f'<text{mark} x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(titles[name].replace("*", ""))}</text>')
        if each.summary is None:
            parts.append(f'<text class="note" x="{LABEL}" y="{y + 13}">{"failed" if each.failed else "not measured"}</text>')
            continue
        length = max(1.0, BAR * each.summary.median / most)
        parts.append(f'<rect class="{"ours" if name in ours else "bar"}" x="{LABEL}" y="{y}" width="{length:.1f}" height="16" rx="2"/>')
        parts.append(f'<text x="{LABEL + length + 6:.1f}" y="{y + 13}">{number(each.summary.median, metric.digits)}</text>')
    return "".join(parts)

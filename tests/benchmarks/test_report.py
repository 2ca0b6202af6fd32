"""The pure parts of the benchmarks: what is made of results that are known."""

import xml.etree.ElementTree as ET

import pytest

from benchmarks import chart, report
from benchmarks.gate import WORKS
from benchmarks.gate import table as gate_table
from benchmarks.statistics import Summary, quantile, summary
from benchmarks.usage import between, usage

SPENT = {"cpu": 1.0, "switches": 10, "peak": 1 << 20, "grown": 1 << 20}
TITLES = {"ours": "ours", "theirs": "theirs"}


def upload(megabytes):
    return {"count": megabytes * 1e6, "seconds": 1.0, "client": SPENT, "server": SPENT}


def flood(sent, received, dropped):
    return {"sent": sent, "received": received, "dropped": dropped, "count": received, "seconds": 0.5, "client": SPENT, "server": SPENT}


def rows(results, *, spread=False):
    lines = report.markdown(report.METRICS, results, TITLES, spread=spread).splitlines()
    return {line.split(" | ")[0].strip("| "): line for line in lines}


def test_median_minimum_and_maximum_are_of_all_rounds():
    assert summary([3.0, 1.0, 2.0]) == Summary(median=2.0, minimum=1.0, maximum=3.0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_quantile_is_one_of_the_samples(share, value):
    assert quantile(range(1, 101), share) == value


def test_a_row_holds_medians_and_the_best_is_bold():
    row = rows({"ours": {"upload": [upload(900), upload(1100), upload(1000)]}, "theirs": {"upload": [upload(500)]}})
    assert row["upload, 64 KiB writes, one stream, MB/s"].endswith("| **1\N{NO-BREAK SPACE}000** | 500 |")
    assert row["CPU s per GB up, both ends"].endswith("| **2.00** | 4.00 |"), "less is better, and both ends count"


def test_minimum_and_maximum_stand_beside_the_median_where_they_are_wanted():
    row = rows({"ours": {"upload": [upload(900), upload(1100), upload(1000)]}, "theirs": {}}, spread=True)
    assert "<sub>900…1\N{NO-BREAK SPACE}100</sub> | - |" in row["upload, 64 KiB writes, one stream, MB/s"]


def test_what_became_of_datagrams_adds_up():
    row = rows({"ours": {"flood-64": [flood(1000, 700, 200)]}, "theirs": {"flood-64": [flood(1000, 100, 0)]}})
    assert row["datagram flood 64 B, received per second"].endswith(
        "| **1\N{NO-BREAK SPACE}400** (20 % dropped, 10 % lost) | 200 (90 % lost) |"
    )


def test_a_scenario_that_fails_is_a_note_and_rounds_that_succeed_count():
    failed = {"failed": "ValueError: no credit"}
    lines = report.markdown(report.METRICS, {"ours": {"rpc-64": [failed, upload(5)]}, "theirs": {"rpc-64": [failed]}}, TITLES, spread=False)
    assert "| failed [1] |" in lines
    assert lines.splitlines()[-1] == "1. theirs, rpc-64: ValueError: no credit"
    assert lines.count("ValueError") == 1


def test_the_chart_is_xml_with_a_bar_for_each_figure():
    results = {"ours": {"upload": [upload(900)]}, "theirs": {"upload": [{"failed": "it did"}]}}
    svg = ET.fromstring(chart.chart(results, {"ours": "**<ours>**", "theirs": "theirs"}, ["ours"]))
    bars = svg.findall(".//{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["ours"]
    words = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<ours>", "900", "failed"} <= set(words)


def test_the_gate_closes_past_the_tolerance_and_not_before():
    baseline = {work.scenario: 1000.0 for work in WORKS}
    within, good = gate_table(baseline | {"rpc": 1029.0}, baseline, tolerance=0.03)
    assert good
    assert "SLOWER" not in within
    past, good = gate_table(baseline | {"rpc": 1031.0}, baseline, tolerance=0.03)
    assert not good
    assert past.count("SLOWER") == 1


def test_what_a_process_used_is_told_in_between():
    before = usage()
    held = b"x" * (32 << 20)
    spent = between(before, usage())
    assert len(held) == 32 << 20
    assert spent["peak"] >= 32 << 20
    assert spent.get("grown", 32 << 20) >= 31 << 20  # only Linux tells
    assert 0 <= spent["cpu"] < 60

"""The table: what is read out of the results, and how it is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.statistics import Summary, summary

Result = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Sequence[Result]]]  # of each entry, of each scenario, one a round


@dataclass(frozen=True)
class Metric:
    """A row of the table."""

    title: str
    scenario: str
    value: Callable[[Result], float]
    digits: int = 0
    more_is_better: bool = True
    also: Callable[[Result], str] | None = None  # in parentheses, of the median round


def rate(result: Result) -> float:
    return float(result["count"]) / float(result["seconds"])


def megabytes(result: Result) -> float:
    return rate(result) / 1e6


def both(result: Result, what: str) -> float:
    return float(result["client"][what]) + float(result["server"][what])


def cpu_per_gigabyte(result: Result) -> float:
    return both(result, "cpu") / float(result["count"]) * 1e9


def cpu_each(result: Result) -> float:
    return both(result, "cpu") / float(result["count"]) * 1e6


def switches_each(result: Result) -> float:
    return both(result, "switches") / float(result["count"])


def microseconds(which: str) -> Callable[[Result], float]:
    return lambda result: float(result[which]) * 1e6


def peak(side: str) -> Callable[[Result], float]:
    return lambda result: float(result[side]["peak"]) / 2**20


def memory_each(result: Result) -> float:
    return float(result["server"]["grown"] / result["count"] / 1024)


def losses(result: Result) -> str:
    """What became of the datagrams that were sent and not received."""
    share = 100 / result["sent"]
    dropped = result["dropped"]
    lost = result["sent"] - result["received"] - dropped
    return f"{dropped * share:.0f} % dropped, {lost * share:.0f} % lost" if dropped else f"{lost * share:.0f} % lost"


METRICS = (
    Metric("upload, 64 KiB writes, one stream, MB/s", "upload", megabytes),
    Metric("upload, 1 MiB writes, MB/s", "upload-1MiB", megabytes),
    Metric("download, 64 KiB writes, MB/s", "download", megabytes),
    Metric("8 parallel uploads, MB/s", "upload-8", megabytes),
    Metric("CPU s per GB up, both ends", "upload", cpu_per_gigabyte, 2, more_is_better=False),
    Metric("stream RPC, one at a time, p50 µs", "rpc", microseconds("p50"), more_is_better=False),
    Metric("the same, p99 µs", "rpc", microseconds("p99"), more_is_better=False),
    Metric("the same, context switches each", "rpc", switches_each, 1, more_is_better=False),
    Metric("stream RPC, 64 in flight, per second", "rpc-64", rate),
    Metric("the same, CPU µs each", "rpc-64", cpu_each, more_is_better=False),
    Metric("datagram echo 64 B, one at a time, p50 µs", "datagram", microseconds("p50"), more_is_better=False),
    Metric("the same, p99 µs", "datagram", microseconds("p99"), more_is_better=False),
    Metric("datagram echo, 32 in flight, per second", "datagram-32", rate),
    Metric("datagram flood 1 KiB, received per second", "flood-1KiB", rate, also=losses),
    Metric("datagram flood 64 B, received per second", "flood-64", rate, also=losses),
    Metric("ping-pong 64 B on one stream, p50 µs", "ping-pong", microseconds("p50"), more_is_better=False),
    Metric("the same, p99 µs", "ping-pong", microseconds("p99"), more_is_better=False),
    Metric("the same, context switches each", "ping-pong", switches_each, 1, more_is_better=False),
    Metric("connect + session + close, per second, one after another", "connect", rate),
    Metric("2 000 sessions from one client: seconds to open", "sessions", lambda result: float(result["seconds"]), 2, more_is_better=False),
    Metric("server memory per idle session, KiB", "sessions", memory_each, more_is_better=False),
    Metric("peak memory of the client, upload, MiB", "upload", peak("client"), more_is_better=False),
    Metric("peak memory of the server, upload, MiB", "upload", peak("server"), more_is_better=False),
)


def ratio(result: Result) -> float:
    """How much a latency grows, or what is left of a rate, beside something else."""
    return float(result["beside"]) / float(result["alone"])


def alone_and_beside(unit: str, scale: float) -> Callable[[Result], str]:
    return lambda result: f"{number(result['alone'] * scale, 0)} {unit} alone, {number(result['beside'] * scale, 0)} {unit} beside"


EXTREMES = (
    Metric("RPC latency with 2 000 idle connections, against none", "idle-2000", ratio, 2, False, alone_and_beside("µs", 1e6)),
    Metric("10 000 sessions: seconds to open", "sessions-10000", lambda result: float(result["seconds"]), 1, more_is_better=False),
    Metric("server memory per idle session, of 10 000, KiB", "sessions-10000", memory_each, 1, more_is_better=False),
    *(
        Metric(f"{title}, CPU s per GB, both ends", scenario, cpu_per_gigabyte, 2, False, lambda result: f"{megabytes(result):.0f} MB/s")
        for title, scenario in (
            ("512 streams of 1 MiB", "streams-1MiB"),
            ("8 streams of 64 MiB", "streams-64MiB"),
            ("1 GiB through one stream", "stream-1GiB"),
            ("4 GiB through one stream", "stream-4GiB"),
        )
    ),
    Metric("uploads beside a slow reader, against alone", "slow-reader", ratio, 2, True, alone_and_beside("MB/s", 1e-6)),
    Metric("uploads beside a flood of datagrams, against alone", "flood-beside", ratio, 2, True, alone_and_beside("MB/s", 1e-6)),
    Metric("that flood, 1 KiB, received per second", "flood-beside", rate, also=losses),
)


@dataclass(frozen=True)
class Cell:
    """What stands in the table: figures over all rounds that succeeded, or why none did; neither, if it was not run."""

    summary: Summary | None
    also: str = ""
    failed: str = ""


def cell(metric: Metric, rounds: Sequence[Result]) -> Cell:
    good = sorted((result for result in rounds if "failed" not in result), key=metric.value)
    if not good:
        return Cell(None, failed=next((str(result["failed"]) for result in rounds), ""))
    return Cell(summary([metric.value(result) for result in good]), metric.also(good[len(good) // 2]) if metric.also else "")


def number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}".replace(",", "\N{NO-BREAK SPACE}")


class Notes:
    """Why there is no figure: one note for each column and reason."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, str], list[str]] = {}

    def mark(self, title: str, scenario: str, why: str) -> str:
        scenarios = self._notes.setdefault((title, why), [])
        if scenario not in scenarios:
            scenarios.append(scenario)
        return f"failed [{list(self._notes).index((title, why)) + 1}]"

    def lines(self) -> list[str]:
        told = ((title, ", ".join(scenarios), why) for (title, why), scenarios in self._notes.items())
        return [f"{number}. {title}, {scenarios}: {why}" for number, (title, scenarios, why) in enumerate(told, 1)]


def markdown(metrics: Sequence[Metric], results: Results, titles: Mapping[str, str], *, spread: bool) -> str:
    """The table, medians; with *spread*, minimum and maximum too. The best of each row is bold, and notes say what failed."""
    lines = ["| | " + " | ".join(titles[name] for name in results) + " |", "|---" + "|---:" * len(results) + "|"]
    notes = Notes()
    for metric in metrics:
        cells = [cell(metric, scenarios.get(metric.scenario, ())) for scenarios in results.values()]
        if not any(each.summary or each.failed for each in cells):
            continue
        medians = [each.summary.median for each in cells if each.summary]
        best = (max if metric.more_is_better else min)(medians, default=None)
        row = []
        for name, each in zip(results, cells, strict=True):
            if each.summary is None:
                row.append(notes.mark(titles[name], metric.scenario, each.failed) if each.failed else "-")
                continue
            text = number(each.summary.median, metric.digits)
            text = f"**{text}**" if each.summary.median == best else text
            if spread:
                text += f" <sub>{number(each.summary.minimum, metric.digits)}…{number(each.summary.maximum, metric.digits)}</sub>"
            row.append(text + (f" ({each.also})" if each.also else ""))
        lines.append(f"| {metric.title} | " + " | ".join(row) + " |")
    return "\n".join([*lines, "", *notes.lines()]).rstrip() + "\n"

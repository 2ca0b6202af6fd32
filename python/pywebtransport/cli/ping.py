"""``webtransport ping``: round trips over streams and datagrams."""

import argparse
import asyncio
import math
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

from pywebtransport.session import WebTransportSession

from .arguments import CommandError, Commands, add_command, add_target, connected, number, run_async

__all__ = ["Series", "add"]

RoundTrip: TypeAlias = Callable[[int], Awaitable[None]]

_BUCKETS = 8
_WIDTH = 40  # characters of the longest bar


class Series:
    """Round trips of one kind, in seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = 0
        self.times: list[float] = []

    @property
    def row(self) -> str:
        """The figures in a row, in milliseconds."""
        lost = 100 * (self.sent - len(self.times)) / self.sent if self.sent else 0.0
        counts = f"{self.name:9} {self.sent:5} {len(self.times):5} {lost:5.1f}%"
        if not self.times:
            return counts
        return counts + "".join(f" {1000 * value:8.3f}" for value in (min(self.times), *self.percentiles(50, 90, 99), max(self.times)))

    def percentiles(self, *wanted: int) -> Iterator[float]:
        """The values that so many percent do not exceed."""
        ordered = sorted(self.times)
        for percent in wanted:
            yield ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    def histogram(self) -> Iterator[str]:
        """A bar for each range; what is much slower than the rest is in the last."""
        if len(self.times) < 2:
            return
        low, high = min(self.times), max(min(max(self.times), 4 * statistics.median(self.times)), min(self.times) + 1e-6)
        step = (high - low) / _BUCKETS
        counts = [0] * _BUCKETS
        for value in self.times:
            counts[min(_BUCKETS - 1, int((value - low) / step))] += 1
        for index, count in enumerate(counts):
            bar = "#" * math.ceil(_WIDTH * count / max(counts))
            yield f"{1000 * (low + index * step):9.3f} ms  {bar:{_WIDTH}} {count}"


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Measure round trips to an echo server.\n\n"
        "Times are in milliseconds. What has no answer after --wait is lost; the exit status is 1 if all of it is."
    )
    parser = add_command(commands, "ping", _run, description)
    add_target(parser)
    parser.add_argument("--count", type=number(int, 1), default=10, help="round trips of each kind (default: 10)")
    parser.add_argument("--interval", metavar="SECONDS", type=number(float, 0), default=0.1, help="between them (default: 0.1)")
    parser.add_argument("--size", metavar="BYTES", type=number(int, 8), default=32, help="of each, 8 or more (default: 32)")
    parser.add_argument("--wait", metavar="SECONDS", type=number(float, 0), default=1.0, help="for an answer (default: 1)")
    parser.add_argument("--over", choices=["stream", "datagram", "both"], default="both", help="what carries them (default: both)")


def _run(arguments: argparse.Namespace) -> int:
    return run_async(_ping(arguments))


async def _ping(arguments: argparse.Namespace) -> int:
    async with connected(arguments) as session:
        if arguments.over != "stream" and arguments.size > session.datagrams.max_size:
            raise CommandError(f"--size {arguments.size} is too long for a datagram: {session.datagrams.max_size} bytes at most")
        print(f"{session.url} ({session.diagnostics().dialect}): {arguments.size} bytes there and back")
        kinds = {"stream": [_over_stream], "datagram": [_over_datagrams], "both": [_over_stream, _over_datagrams]}[arguments.over]
        series = [await _measured(await kind(session, arguments.size), arguments) for kind in kinds]
    print(f"{'':9} {'sent':>5} {'back':>5} {'lost':>6}" + "".join(f" {name:>8}" for name in ("min", "p50", "p90", "p99", "max")))
    for each in series:
        print(each.row)
    return 0 if any(each.times for each in series) else 1


async def _over_stream(session: WebTransportSession, size: int) -> tuple[str, RoundTrip]:
    stream = await session.create_bidirectional_stream()

    async def round_trip(sequence: int) -> None:
        await stream.write(sequence.to_bytes(8) + bytes(size - 8))
        while int.from_bytes((await stream.readexactly(size))[:8]) != sequence:
            pass  # the answer to one that was given up

    return "stream", round_trip


async def _over_datagrams(session: WebTransportSession, size: int) -> tuple[str, RoundTrip]:
    async def round_trip(sequence: int) -> None:
        await session.send_datagram(sequence.to_bytes(8) + bytes(size - 8))
        while int.from_bytes((await session.read_datagram())[:8]) != sequence:
            pass

    return "datagram", round_trip


async def _measured(kind: tuple[str, RoundTrip], arguments: argparse.Namespace) -> Series:
    name, round_trip = kind
    series, picture = Series(name), _Picture()
    for sequence in range(arguments.count):
        if sequence:
            await asyncio.sleep(arguments.interval)
        series.sent += 1
        began = time.perf_counter()
        try:
            async with asyncio.timeout(arguments.wait):
                await round_trip(sequence)
        except TimeoutError:
            continue
        series.times.append(time.perf_counter() - began)
        picture.draw([f"{name}: {len(series.times)} of {arguments.count}", *series.histogram()])
    picture.leave([f"{name}:", *series.histogram()])
    return series


class _Picture:
    """Lines that are drawn over those before, on a terminal; elsewhere only the last are."""

    def __init__(self) -> None:
        self._drawn = 0

    def draw(self, lines: list[str]) -> None:
        if sys.stdout.isatty():
            self._over(lines)

    def leave(self, lines: list[str]) -> None:
        if len(lines) > 1:
            self._over(lines)

    def _over(self, lines: list[str]) -> None:
        back = f"\x1b[{self._drawn}F" if self._drawn else ""
        clear = "\x1b[K" if sys.stdout.isatty() else ""
        print(back + "".join(f"{line.rstrip()}{clear}\n" for line in lines), end="", flush=True)
        self._drawn = len(lines)

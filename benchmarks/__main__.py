"""Measure the libraries against each other: ``python -m benchmarks``; ``make bench`` builds what it needs first.

Each round runs every library, one after the other and beginning with another one each time, so that what the machine does meanwhile
hits all of them. Server and client are processes of their own. What is written: a JSON file with every result of every round, and a
table of medians.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from base64 import encodebytes
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from web_transport import generate_self_signed

from benchmarks import report, roster
from benchmarks.extremes import EXTREMES
from benchmarks.processes import PATIENCE, Pair
from benchmarks.scenarios import SCENARIOS

BUILD = roster.ROOT / "build"
LONG_PATIENCE = 120.0  # 4 GiB, and 10 000 sessions
ONCE = ("sessions",)  # since it takes seconds


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key, PEM."""
    files = folder / "certificate.pem", folder / "key.pem"
    for file, kind, der in zip(files, ("CERTIFICATE", "PRIVATE KEY"), generate_self_signed(["localhost", "127.0.0.1"]), strict=True):
        file.write_text(f"-----BEGIN {kind}-----\n{encodebytes(der).decode()}-----END {kind}-----\n")
    return files


async def measure(
    commands: Mapping[str, Sequence[str]], scenarios: Sequence[str], rounds: int, seconds: float, patience: float
) -> report.Results:
    results: dict[str, dict[str, list[dict[str, Any]]]] = {name: defaultdict(list) for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        files = certificate(Path(folder))
        for number in range(rounds):
            names = list(commands)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
                pair = Pair(commands[name], *files, patience=patience)
                for scenario in scenarios:
                    if number == 0 or scenario not in ONCE:
                        results[name][scenario].append(await pair.run(scenario, seconds))
                await pair.end()
    return results


def machine() -> dict[str, object]:
    return {"system": platform.platform(), "processors": os.cpu_count(), "time": time.strftime("%Y-%m-%d %H:%M")}


def main() -> None:
    columns = {each.name: each for each in (*roster.ROSTER, *roster.FLOORS)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks")
    parser.add_argument("libraries", nargs="*", help=f"{', '.join(columns)} (all)")
    parser.add_argument("--scenario", action="append", metavar="NAME", help=f"{', '.join([*SCENARIOS, *EXTREMES])} (all but the extremes)")
    parser.add_argument("--rounds", type=int, default=4, help="how many (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="to measure in each scenario (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.3 seconds: all libraries in 3 minutes")
    parser.add_argument("--extremes", action="store_true", help="ours alone, where there is much of something: one round")
    parser.add_argument("--spread", action="store_true", help="minimum and maximum in the table too")
    parser.add_argument("--wheel", type=Path, help="our wheel (the one in build/wheel)")
    parser.add_argument("--output", type=Path, help="the JSON file (build/benchmarks.json, build/benchmarks-extremes.json)")
    parser.add_argument("--table", type=Path, help="a file for the Markdown table")
    arguments = parser.parse_args()
    if unknown := set(arguments.libraries) - set(columns):
        parser.error(f"no such library: {', '.join(sorted(unknown))}")

    base = roster.interpreter()
    wheel = arguments.wheel or next(iter((roster.ROOT / "build" / "wheel").glob("*.whl")), None)
    if unknown := set(arguments.scenario or ()) - {*SCENARIOS, *EXTREMES}:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    metrics = report.EXTREMES if arguments.extremes else report.METRICS
    wanted = arguments.scenario or list(dict.fromkeys(metric.scenario for metric in metrics))
    libraries = arguments.libraries or (["ours"] if arguments.extremes else columns)
    chosen = [each for name, each in columns.items() if name in libraries]
    commands = {}
    for each in chosen:
        print(f"preparing {each.name}", file=sys.stderr)
        commands[each.name] = roster.floor_command(each) if isinstance(each, roster.Floor) else roster.command(each, base, wheel)
    rounds, seconds = (2, 0.3) if arguments.quick else (1 if arguments.extremes else arguments.rounds, arguments.seconds)
    results = asyncio.run(measure(commands, wanted, rounds, seconds, LONG_PATIENCE if arguments.extremes else PATIENCE))

    output = arguments.output or BUILD / ("benchmarks-extremes.json" if arguments.extremes else "benchmarks.json")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": machine(), "rounds": rounds, "seconds": seconds, "results": results}, indent=1))
    table = report.markdown(metrics, results, {each.name: each.title for each in chosen}, spread=arguments.spread)
    print(table)
    if arguments.table:
        arguments.table.write_text(table)


if __name__ == "__main__":
    main()

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
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
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
        lines = "\n".join(wrap(b64encode(der).decode(), 64))  # qh3 takes no longer ones (RFC 7468 §2)
        file.write_text(f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n")
    return files


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long."""

    scenarios: Sequence[str]
    rounds: int
    seconds: float
    patience: float


async def measure(commands: Mapping[str, Sequence[str] | str], plan: Plan) -> report.Results:
    """The results of all columns; *commands* says how to start each, or why it cannot be."""
    results: dict[str, dict[str, list[dict[str, Any]]]] = {name: defaultdict(list) for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        files = certificate(Path(folder))
        for number in range(plan.rounds):
            names = list(commands)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                print(f"round {number + 1} of {plan.rounds}: {name}", file=sys.stderr, flush=True)
                command = commands[name]
                pair = None if isinstance(command, str) else Pair(command, *files, patience=plan.patience)
                for scenario in plan.scenarios:
                    if number == 0 or scenario not in ONCE:
                        result = await pair.run(scenario, plan.seconds) if pair else {"failed": command}
                        results[name][scenario].append(result)
                if pair:
                    await pair.end()
    return results


def prepare(columns: Sequence[roster.Entry | roster.Floor], wheel: Path | None) -> dict[str, Sequence[str] | str]:
    """How to start each column, or why it cannot be: the others are measured all the same."""
    base = roster.interpreter()
    commands: dict[str, Sequence[str] | str] = {}
    for each in columns:
        print(f"preparing {each.name}", file=sys.stderr)
        try:
            commands[each.name] = roster.floor_command(each) if isinstance(each, roster.Floor) else roster.command(each, base, wheel)
        except (OSError, subprocess.CalledProcessError) as error:
            commands[each.name] = f"cannot be prepared: {error}"
    return commands


def machine() -> dict[str, object]:
    return {"system": platform.platform(), "processors": os.cpu_count(), "time": time.strftime("%Y-%m-%d %H:%M")}


def main() -> None:
    columns = {each.name: each for each in (*roster.ROSTER, *roster.FLOORS)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks")
    parser.add_argument("libraries", nargs="*", help=f"{', '.join(columns)} (all)")
    parser.add_argument("--scenario", action="append", metavar="NAME", help=f"{', '.join([*SCENARIOS, *EXTREMES])} (all but the extremes)")
    parser.add_argument("--rounds", type=int, default=4, help="how many (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="to measure in each scenario (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.25 seconds, without 2 000 sessions: all libraries in 3 minutes")
    parser.add_argument("--extremes", action="store_true", help="ours alone, where there is much of something: one round")
    parser.add_argument("--spread", action="store_true", help="minimum and maximum in the table too")
    parser.add_argument("--wheel", type=Path, help="our wheel (the one in build/wheel)")
    parser.add_argument("--output", type=Path, help="the JSON file (build/benchmarks.json, build/benchmarks-extremes.json)")
    parser.add_argument("--table", type=Path, help="a file for the Markdown table")
    arguments = parser.parse_args()
    for asked, known in ((arguments.libraries, columns), (arguments.scenario or (), {*SCENARIOS, *EXTREMES})):
        if unknown := set(asked) - set(known):
            parser.error(f"there is no {', '.join(sorted(unknown))}")

    chosen = [columns[name] for name in arguments.libraries or (["ours"] if arguments.extremes else columns)]
    scenarios = EXTREMES if arguments.extremes else [name for name in SCENARIOS if not (arguments.quick and name in ONCE)]
    plan = Plan(arguments.scenario or list(scenarios), arguments.rounds, arguments.seconds, PATIENCE)
    if arguments.quick:
        plan = replace(plan, rounds=2, seconds=0.25)
    if arguments.extremes:
        plan = replace(plan, rounds=1, patience=LONG_PATIENCE)
    wheel = arguments.wheel or next(iter((roster.ROOT / "build" / "wheel").glob("*.whl")), None)
    results = asyncio.run(measure(prepare(chosen, wheel), plan))

    output = arguments.output or BUILD / ("benchmarks-extremes.json" if arguments.extremes else "benchmarks.json")
    output.parent.mkdir(parents=True, exist_ok=True)
    told = {"machine": machine(), "rounds": plan.rounds, "seconds": plan.seconds, "results": results}
    output.write_text(json.dumps(told, indent=1))
    table = report.markdown(
        (*report.METRICS, *report.EXTREMES), results, {each.name: each.title for each in chosen}, spread=arguments.spread
    )
    print(table)
    if arguments.table:
        arguments.table.write_text(table)


if __name__ == "__main__":
    main()

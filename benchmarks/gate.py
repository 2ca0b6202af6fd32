"""A gate against getting slower: ``python -m benchmarks.gate``, or ``make bench-gate``.

It counts the instructions (valgrind) that the state machine of `crates/proto` executes for each piece of work, in a simulated network, and
compares them with what was counted when ``gate.json`` was written. So it needs no quiet machine, and sees a change of a few per cent;
what it does not see is what threads, sockets and Python cost. The exit status is 1 where something costs more than the tolerance permits.
After a change that is worth its price: ``--rebaseline``.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BASELINE = Path(__file__).with_name("gate.json")
TOLERANCE = 0.03  # what TLS' own randomness changes is a tenth of it


@dataclass(frozen=True)
class Work:
    """What is counted, and how often it is done to count it."""

    scenario: str
    times: int
    unit: str


WORKS = (
    Work("bulk", 16, "MiB through one stream"),
    Work("lossy", 8, "the same, 1 % of the packets lost"),
    Work("rpc", 500, "stream RPC, one at a time"),
    Work("rpc-64", 2000, "stream RPC, 64 in flight"),
    Work("datagrams", 20_000, "datagram of 64 bytes"),
    Work("connect", 20, "connection with a session, and its end"),
)


def build() -> Path:
    workspace, target = ROOT / "benchmarks" / "rust", ROOT / "target" / "benchmarks"
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", str(target), "--package", "bench-gate"]
    subprocess.run(command, cwd=workspace, check=True)
    return target / "release" / "bench-gate"


def instructions(program: Path, scenario: str, times: int) -> int:
    """All that a run of the program executes."""
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", str(program), scenario, str(times)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    counted = re.search(r"I\s+refs:\s+([\d,]+)", run.stderr)
    if run.returncode or counted is None:
        raise RuntimeError(f"{scenario} failed:\n{run.stderr}")
    return int(counted[1].replace(",", ""))


def cost(program: Path, work: Work) -> float:
    """Instructions for each piece of work: without those that the way there takes."""
    return (instructions(program, work.scenario, work.times) - instructions(program, work.scenario, 0)) / work.times


def compiler() -> str:
    """What makes figures comparable: the processor's family and the compiler."""
    version = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    return f"{platform.machine()}, rustc {version}"


def table(costs: Mapping[str, float], baseline: Mapping[str, float], tolerance: float) -> tuple[str, bool]:
    """The comparison, and whether all is within the tolerance."""
    lines, good = [f"{'instructions for each':44} {'baseline':>14} {'now':>14} {'ratio':>7}"], True
    for work in WORKS:
        now, before = costs[work.scenario], baseline.get(work.scenario)
        ratio = now / before if before else None
        slower = ratio is not None and ratio > 1 + tolerance
        verdict = "  SLOWER" if slower else "  faster: --rebaseline keeps it" if ratio is not None and ratio < 1 - tolerance else ""
        was, compared = (f"{before:,.0f}" if before else "-", f"{ratio:.3f}" if ratio else "-")
        lines.append(f"{work.unit:44} {was:>14} {now:>14,.0f} {compared:>7}{verdict}")
        good = good and not slower
    return "\n".join(lines), good


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks.gate"
    )
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="by how much, as a share, it may cost more (%(default)s)")
    parser.add_argument("--rebaseline", action="store_true", help="write what is counted now, to compare with from now on")
    arguments = parser.parse_args()
    program = build()
    costs = {work.scenario: cost(program, work) for work in WORKS}
    known: dict[str, Any] = json.loads(BASELINE.read_text())
    text, good = table(costs, known["instructions"], arguments.tolerance)
    print(text)
    if arguments.rebaseline:
        rounded = {scenario: round(value) for scenario, value in costs.items()}
        BASELINE.write_text(json.dumps({"compiler": compiler(), "instructions": rounded}, indent=2) + "\n")
        return 0
    if known["compiler"] != compiler():
        print(f"\nthe baseline was counted with {known['compiler']}, this is {compiler()}: --rebaseline on what it is to be compared with")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

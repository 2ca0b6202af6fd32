"""Run test commands one after the other and sum up what they count, as ``N passed, N failed`` on the last line.

usage: tally.py COMMAND...

Each command is one argument, for the shell. All of them run, whatever fails; the exit status says whether anything did.
"""

import os
import re
import subprocess
import sys

CARGO = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed;")  # once for each test binary
PLAIN = re.compile(r"(\d+) passed, (\d+) failed$")
PYTEST = re.compile(r"=+ .* in \d+\.\d+s.* =+$")
PYTEST_COUNT = re.compile(r"(\d+) (passed|failed|error)")
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def count(line: str) -> tuple[int, int]:
    """How many tests passed and failed, if *line* is the closing line of a test run."""
    if match := CARGO.match(line) or PLAIN.match(line):
        return int(match[1]), int(match[2])
    if PYTEST.match(line):
        counts = {word: int(number) for number, word in PYTEST_COUNT.findall(line)}
        return counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0)
    return 0, 0


def run(command: str) -> tuple[int, int]:
    """Run *command*, show its output as it comes, and count. A command that fails without a failed test counts as one."""
    print(f"\n$ {command}", flush=True)
    colours = {"CARGO_TERM_COLOR": "always", "FORCE_COLOR": "1"} if sys.stdout.isatty() else {}
    process = subprocess.Popen(
        command, shell=True, env=os.environ | colours, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout
    passed = failed = 0
    for line in process.stdout:
        print(line, end="", flush=True)
        more_passed, more_failed = count(COLOUR.sub("", line).strip())
        passed += more_passed
        failed += more_failed
    if process.wait() != 0 and failed == 0:
        print(f"failed with exit status {process.returncode}: {command}", flush=True)
        failed = 1
    return passed, failed


def main(commands: list[str]) -> int:
    """Run all *commands*, print the sums, and return the exit status."""
    passed = failed = 0
    for command in commands:
        more_passed, more_failed = run(command)
        passed += more_passed
        failed += more_failed
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Who is measured: the libraries, and how each comes into a virtual environment of its own; all of them on the same CPython."""

import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.every_python import find

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".venv-bench"
VERSIONS = ("3.14", "3.13", "3.12")  # the newest that is found; aiopquic has no wheels for 3.11, nor for 3.15


@dataclass(frozen=True)
class Entry:
    """A column of the table."""

    name: str
    title: str
    adapter: str
    requirement: str = ""  # of PyPI; none: our own wheel
    uvloop: bool = False


@dataclass(frozen=True)
class Floor:
    """A column of a Rust program. *jumbo*: packets as long as loopback carries them, not of the 1 452 bytes of an Ethernet."""

    name: str
    title: str
    program: str
    jumbo: bool


ROSTER = (
    Entry("ours", "**web_transport**, ours", "ours"),
    Entry("ours-uvloop", "ours on uvloop", "ours", uvloop=True),
    Entry("framework", "**pywebtransport**, ours", "ours_framework"),
    Entry("pywebtransport", "pywebtransport 0.21.1", "pywebtransport_0_21", "pywebtransport==0.21.1"),
    Entry("web-transport-quinn", "web-transport-quinn 0.1.0", "web_transport_quinn", "web-transport-quinn==0.1.0"),
    Entry("aiopquic", "aiopquic 0.6.1", "aiopquic", "aiopquic==0.6.1"),
    Entry("qh3", "qh3 2.1.0", "qh3", "qh3==2.1.0"),
    Entry("aioquic", "aioquic 1.7.2", "aioquic", "aioquic==1.7.2"),
    Entry("websockets", "websockets 17.4, TLS, uvloop", "websockets", "websockets==17.4", uvloop=True),
)

FLOORS = (
    Floor("reactor", "our reactor, Rust", "bench-reactor", jumbo=True),
    Floor("quinn", "bare quinn, Rust", "bench-quinn", jumbo=True),
    Floor("reactor-1452", "our reactor, 1 452 B", "bench-reactor", jumbo=False),
    Floor("quinn-1452", "bare quinn, 1 452 B", "bench-quinn", jumbo=False),
)
JUMBO = 65_535 - 40 - 8  # bytes of a UDP payload: what an IP packet holds, less the headers


def interpreter() -> str:
    """One Python for all.

    Raises:
        LookupError: None of those is here that every library has wheels for.
    """
    for version in VERSIONS:
        if python := find(version):
            return python
    raise LookupError(f"none of the Pythons {', '.join(VERSIONS)} was found, on PATH or by pyenv: the peers need one")


def command(entry: Entry, base: str, wheel: Path | None) -> list[str]:
    """How to start a process of the entry, up to its role."""
    options = ["--uvloop"] if entry.uvloop else []
    return [environment(entry, base, wheel), "-P", "-m", "benchmarks.worker", *options, entry.adapter]


def floor_command(floor: Floor) -> list[str]:
    """The same of a Rust program, which is built.

    Our reactor takes jumbo packets for an address of loopback only, so where they are not wanted, the machine's own address serves: the
    packets go over loopback all the same.
    """
    workspace, target = ROOT / "benchmarks" / "rust", ROOT / "target" / "benchmarks"
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", target], cwd=workspace, check=True)
    started = [str(target / "release" / floor.program), "--payload", str(JUMBO if floor.jumbo else 1452)]
    return started if floor.jumbo else [*started, "--address", own_address()]


def own_address() -> str:
    """An address of this machine other than loopback's.

    Raises:
        OSError: It has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent, and nobody has that address (RFC 5737)
        return str(probe.getsockname()[0])


def environment(entry: Entry, base: str, wheel: Path | None) -> str:
    """The Python of the entry's virtual environment, which is made if it is not there or holds something else."""
    home = HOME / (entry.requirement.partition("==")[0] or "ours")
    python, stamp = home / "bin" / "python", home / "installed.txt"
    wanted, content = [base, "uvloop==0.23.0"], entry.requirement
    if not entry.requirement:
        if wheel is None:
            raise FileNotFoundError("there is no wheel of ours in build/wheel: `make build` makes it")
        content = str(wheel)
        wanted.append(str(wheel.stat().st_mtime_ns))
    wanted.append(content)
    if not stamp.exists() or stamp.read_text().split("\n") != wanted:
        print(f"installing {content}", file=sys.stderr)
        subprocess.run([base, "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted[1], content], check=True)
        stamp.write_text("\n".join(wanted))
    return str(python)

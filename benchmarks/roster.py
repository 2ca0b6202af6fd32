"""Who is measured: the libraries, and how each comes into a virtual environment of its own; all of them on the same CPython."""

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

    @property
    def ours(self) -> bool:
        return not self.requirement


ROSTER = (
    Entry("ours", "**web_transport**", "ours"),
    Entry("ours-uvloop", "the same, uvloop", "ours", uvloop=True),
    Entry("framework", "**pywebtransport**", "ours_framework"),
    Entry("pywebtransport", "pywebtransport 0.21.1", "pywebtransport_0_21", "pywebtransport==0.21.1"),
    Entry("web-transport-quinn", "web-transport-quinn 0.1.0", "web_transport_quinn", "web-transport-quinn==0.1.0"),
    Entry("aiopquic", "aiopquic 0.6.1", "aiopquic", "aiopquic==0.6.1"),
    Entry("qh3", "qh3 2.1.0", "qh3", "qh3==2.1.0"),
    Entry("aioquic", "aioquic 1.7.2", "aioquic", "aioquic==1.7.2"),
    Entry("websockets", "websockets 17.4, TLS, uvloop", "websockets", "websockets==17.4", uvloop=True),
)


def interpreter() -> str:
    """One Python for all.

    Raises:
        LookupError: None of those is here that every library has wheels for.
    """
    for version in VERSIONS:
        if python := find(version):
            return python
    raise LookupError(f"none of the Pythons {', '.join(VERSIONS)} was found, on PATH or by pyenv: the peers need one")


def prepare(entry: Entry, base: str, wheel: Path | None) -> str:
    """The Python of the entry's virtual environment, which is made if it is not there or holds something else."""
    home = HOME / (entry.requirement.partition("==")[0] or "ours")
    python, stamp = home / "bin" / "python", home / "installed.txt"
    wanted, content = [base, "uvloop==0.23.0"], entry.requirement
    if entry.ours:
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

"""Who the peers are, how each is built and started, and what is known to differ.

A peer is a program under ``peers/`` around somebody else's library, which ``peers/common.py`` describes, or a browser. The quick ones
from PyPI run in every test run, the others only in `make interop`: they want Go or a cargo build, or take their time.
"""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from unittest.mock import ANY

import pytest

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"

Role = Literal["server", "client"]  # the peer's, not ours


@dataclass(frozen=True)
class Peer:
    """One independent implementation; *dialect* is the highest that it and we both speak."""

    name: str
    library: str
    source: Literal["PyPI", "crates.io", "Go", "Debian"]
    version: str
    dialect: str
    prepare: Callable[["Peer"], tuple[str | Path, ...]]  # builds what is missing and gives the start of the command line

    def __str__(self) -> str:
        return self.name


def _interpreter() -> str | None:
    """The first Python that the peers install on: 3.13, then 3.12."""
    for version in ("3.13", "3.12"):
        found = [shutil.which(f"python{version}")]
        if shutil.which("pyenv"):
            prefix = subprocess.run(["pyenv", "prefix", version], check=False, capture_output=True, text=True)
            found.append(f"{prefix.stdout.strip()}/bin/python")
        for python in found:
            try:
                if python and subprocess.run([python, "-c", "import venv"], check=False, capture_output=True).returncode == 0:
                    return python
            except OSError:
                continue
    return None


def _from_pypi(peer: Peer) -> tuple[str | Path, ...]:
    """A virtual environment for each: one is imported as `web_transport`, another as `pywebtransport`. A stamp says what is in it."""
    home, requirement = ROOT / ".venv-peers" / peer.name, f"{peer.library}=={peer.version}"
    python, stamp = home / "bin" / "python", home / "installed.txt"
    if not (stamp.exists() and stamp.read_text() == requirement):
        base = _interpreter()
        if base is None:
            pytest.skip(f"{peer} wants Python >= 3.12: neither python3.13 nor python3.12 was found")
        subprocess.run([base, "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement], check=True)
        stamp.write_text(requirement)
    return python, "-P", "-m", f"peers.{peer.name}"


def _from_crates_io(peer: Peer) -> tuple[str | Path, ...]:
    target = ROOT / "target" / "peers"
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--target-dir", target], cwd=PEERS / "rust", check=True)
    return (target / "debug" / f"{peer.library}-peer",)


def _from_go(peer: Peer) -> tuple[str | Path, ...]:
    program = ROOT / "build" / "peers" / peer.library
    subprocess.run(["go", "build", "-o", program, "."], cwd=PEERS / "go", env={**os.environ, "GOFLAGS": "-buildvcs=false"}, check=True)
    return (program,)


def _locked(crate: str) -> str:
    packages = tomllib.loads((PEERS / "rust" / "Cargo.lock").read_text())["package"]
    return str(next(package["version"] for package in packages if package["name"] == crate))


def _required(module: str) -> str:
    found = re.search(rf"{re.escape(module)} v(\S+)", (PEERS / "go" / "go.mod").read_text())
    assert found
    return found[1]


ROSTER = (
    Peer("web_transport_quinn", "web-transport-quinn", "PyPI", "0.1.0", "draft-07", _from_pypi),
    Peer("pywebtransport", "pywebtransport", "PyPI", "0.21.1", "draft-16", _from_pypi),
    Peer("pywebtransport_0_20", "pywebtransport", "PyPI", "0.20.1", "draft-16", _from_pypi),
    Peer("aioquic", "aioquic", "PyPI", "1.7.2", "draft-02", _from_pypi),
    Peer("web_transport_quinn_rs", "web-transport-quinn", "crates.io", _locked("web-transport-quinn"), "draft-07", _from_crates_io),
    Peer("wtransport", "wtransport", "crates.io", _locked("wtransport"), "draft-07", _from_crates_io),
    Peer("webtransport_go", "webtransport-go", "Go", _required("github.com/quic-go/webtransport-go"), "draft-16", _from_go),
)

_QUICK = ("web_transport_quinn", "pywebtransport", "aioquic")
PARAMETERS = [pytest.param(peer, id=peer.name, marks=[] if peer.name in _QUICK else [pytest.mark.interop]) for peer in ROSTER]


BROWSERS = ("chromium", "firefox")


@cache
def browser(name: str) -> Peer:
    """A browser as a peer, which is a client only; `tests.browsers` drives it."""
    version = subprocess.run([_PROGRAMS[name], "--version"], check=False, capture_output=True, text=True).stdout
    found = re.search(r"[\d.]+\w*", version)
    return Peer(name, name.capitalize(), "Debian", found[0] if found else "", "draft-02", lambda _: ())


_PROGRAMS = {"chromium": "chromium", "firefox": "firefox-esr"}


@dataclass(frozen=True)
class Instead:
    """What is seen instead of what should be, and why: measured against the peer itself or a third one, never only against us."""

    value: object
    why: str


class Sometimes(Instead):
    """The same, but that what should be is seen at times too."""


@dataclass(frozen=True)
class NotOffered:
    why: str


def _on_the_wire(code: int) -> int:
    return 0x52E4A40FA8DB + code + code // 0x1E  # WT §4.4


_RAW_CODES = "its application sends and gets codes as they are on the wire, not mapped into WebTransport's range (WT §4.4)"
_CLOSES_CONNECTION = (
    "it ends a session by closing the QUIC connection with the application's code and reason, without a close capsule (WT §6)"
)
_NO_RESPONSE = "its connection closes with code 0 before the response has left, for its own client too"
_NO_STATUS = "its error does not tell the status, with its own server neither"
_NO_SUBPROTOCOLS = NotOffered("it has no API for subprotocols")
_ONE_SESSION = NotOffered("a connection carries one session")

_OTHER_BYTES = (
    "other bytes come back, or its connection closes with H3_FRAME_ERROR on the way: between its own client and server too, and between"
    " its client and the server of 0.21.1; at times it works"
)
_NO_STOPS = NotOffered(
    "an application of it does not hear of a stop: writes go on, and its own client's stop reads as a reset without a code"
)
_CODE_LOST = (
    "of a bidirectional stream that is reset and stopped at once a page may hear of the stop without its code; stopped alone, the code"
    " arrives (`tests/browsers`)"
)
_NO_STATUS_IN_PAGES = "no browser tells a page the status (W3C WebTransport), by intent"

KNOWN: dict[tuple[str, Role, str], Instead | NotOffered] = {
    ("web_transport_quinn", "server", "reject"): Instead(None, _NO_RESPONSE),
    ("web_transport_quinn", "server", "subprotocol"): _NO_SUBPROTOCOLS,
    ("web_transport_quinn", "client", "subprotocol"): _NO_SUBPROTOCOLS,
    ("web_transport_quinn", "server", "pool"): _ONE_SESSION,
    ("web_transport_quinn", "client", "pool"): _ONE_SESSION,
    ("pywebtransport", "client", "reject"): Instead(["rejected", None], _NO_STATUS),
    ("pywebtransport_0_20", "server", "transfer"): Instead(ANY, _OTHER_BYTES),
    ("pywebtransport_0_20", "client", "transfer"): Instead(ANY, _OTHER_BYTES),
    ("pywebtransport_0_20", "server", "stop"): _NO_STOPS,
    ("pywebtransport_0_20", "client", "stop_by_server"): _NO_STOPS,
    ("pywebtransport_0_20", "client", "reject"): Instead(["rejected", None], _NO_STATUS),
    ("aioquic", "server", "subprotocol"): _NO_SUBPROTOCOLS,
    ("aioquic", "client", "subprotocol"): _NO_SUBPROTOCOLS,
    ("aioquic", "server", "pool"): _ONE_SESSION,
    ("aioquic", "client", "pool"): _ONE_SESSION,
    ("web_transport_quinn_rs", "server", "reject"): Instead(None, _NO_RESPONSE),
    ("web_transport_quinn_rs", "server", "pool"): _ONE_SESSION,
    ("web_transport_quinn_rs", "client", "pool"): _ONE_SESSION,
    ("wtransport", "server", "reset"): Instead(_on_the_wire(5), _RAW_CODES),
    ("wtransport", "server", "stop"): Instead(_on_the_wire(6), _RAW_CODES),
    ("wtransport", "server", "reset_by_server"): Instead(["reset", None], _RAW_CODES),
    ("wtransport", "server", "stop_by_server"): Instead(["stop", None], _RAW_CODES),
    ("wtransport", "server", "close_by_server"): Instead(["application", 7, "bye"], _CLOSES_CONNECTION),
    ("wtransport", "server", "subprotocol"): _NO_SUBPROTOCOLS,
    ("wtransport", "server", "pool"): _ONE_SESSION,
    ("wtransport", "client", "reset"): Instead(None, _RAW_CODES),
    ("wtransport", "client", "stop"): Instead(None, _RAW_CODES),
    ("wtransport", "client", "reset_by_server"): Instead(["reset", _on_the_wire(5)], _RAW_CODES),
    ("wtransport", "client", "stop_by_server"): Instead(["stop", _on_the_wire(6)], _RAW_CODES),
    ("wtransport", "client", "close"): Instead(["application", 7, "bye"], _CLOSES_CONNECTION),
    ("wtransport", "client", "reject"): Instead(["rejected", None], _NO_STATUS),
    ("wtransport", "client", "subprotocol"): _NO_SUBPROTOCOLS,
    ("wtransport", "client", "pool"): _ONE_SESSION,
    ("chromium", "client", "stop_by_server"): Sometimes(["stop", None], _CODE_LOST),
    ("chromium", "client", "reject"): Instead(["rejected", None], _NO_STATUS_IN_PAGES),
    ("chromium", "client", "pool"): _ONE_SESSION,
    ("firefox", "client", "stop_by_server"): Sometimes(["stop", None], _CODE_LOST),
    ("firefox", "client", "stop"): NotOffered("it tells nobody that a page has cancelled a stream before the session ends"),
    ("firefox", "client", "reject"): Instead(["rejected", None], _NO_STATUS_IN_PAGES),
    ("firefox", "client", "subprotocol"): NotOffered("its pages cannot offer subprotocols before Firefox 155"),
    ("firefox", "client", "pool"): _ONE_SESSION,
    ("webtransport_go", "client", "connect"): Instead(
        "server didn't enable QUIC stream reset partial delivery",
        "it connects to no server without RESET_STREAM_AT (WT §3.1), which we lack",
    ),
    ("webtransport_go", "client", "*"): NotOffered("it does not connect"),
}

"""One match of the interop runner's: a server and a client in a test case, each with its own ``/www``, ``/downloads``, ``/certs``.

``python -m tests.interop.match CASE --server PROGRAM --client PROGRAM --scratch DIR`` prints what is wrong, and ends with status 1 then. It
wants a network of its own, where UDP port 443 is free, and to be root there: ``unshare --map-root-user --net`` makes both. A program is
"ours", or a file that is linked statically, which runs in a root directory of its own.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from pywebtransport.utils import generate_self_signed_cert

ROOT = Path(__file__).parents[2]
ENDPOINTS = ["webtransport", "other"]  # the runner has one
OFFERED, SUPPORTED, EXPECTED = "first second third", "third second", "second"  # the client's first that the server has too
TIMEOUT = 60.0  # seconds for a client
STREAM_SIZES = [100 << 10, 500 << 10, 250 << 10, 1 << 20, 2 << 20]
DATAGRAM_SIZES = [600 + 2 * number for number in range(200)]


class Case(NamedTuple):
    """What each side is asked to do, and who sends which files."""

    server: str
    client: str
    sender: str | None
    sizes: list[int]
    endpoints: int = 1


CASES = {"handshake": Case("handshake", "handshake", None, [])}
for kind, sizes in {"unidirectional": STREAM_SIZES, "bidirectional": STREAM_SIZES, "datagram": DATAGRAM_SIZES}.items():
    CASES[f"{kind}-receive"] = Case("transfer", f"transfer-{kind}-receive", "server", sizes)
    CASES[f"{kind}-send"] = Case(f"transfer-{kind}-send", "transfer", "client", sizes)
SEVERAL = Case("transfer", "transfer-bidirectional-receive", "server", STREAM_SIZES, endpoints=2)
"""What the runner's protocol has and none of its cases use."""


class Side:
    """A program, and the directories that it sees."""

    def __init__(self, role: str, program: str, scratch: Path, certificate: tuple[str, str]) -> None:
        self.role, self.program = role, program
        self.root = scratch / role
        for directory in ("certs", "downloads", "logs/qlog", *(f"www/{endpoint}" for endpoint in ENDPOINTS)):
            (self.root / directory).mkdir(parents=True)
        for name, source in zip(("cert.pem", "priv.key"), certificate, strict=True):
            (self.root / "certs" / name).write_bytes(Path(source).read_bytes())

    def start(self, case: str, requests: list[str], protocols: str) -> "subprocess.Popen[str]":
        """Start it as the runner would."""
        ours = self.program == "ours"
        prefix = self.root if ours else Path("/")
        environment = {"ROLE": self.role, "TESTCASE": case, "REQUESTS": " ".join(requests), "PROTOCOLS": protocols}
        environment |= {"SSLKEYLOGFILE": str(prefix / "logs" / "keys.log"), "QLOGDIR": f"{prefix / 'logs' / 'qlog'}/"}
        if ours:
            command = [sys.executable, "-m", "pywebtransport.interop.runner", "--root", str(self.root)]
            environment = {**os.environ, **environment}
        else:
            inside = self.root / "program"
            inside.write_bytes(Path(self.program).read_bytes())
            inside.chmod(0o755)
            command = ["chroot", str(self.root), "/program"]
            environment["PATH"] = os.environ["PATH"]
        with (self.root / "logs" / "output.txt").open("w") as output:
            return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)

    @property
    def output(self) -> str:
        return (self.root / "logs" / "output.txt").read_text(errors="replace")

    @property
    def handshakes(self) -> int | None:
        """How many connections it had; only ours tells."""
        return len(list((self.root / "logs" / "qlog").iterdir())) if self.program == "ours" else None


def play(case: Case, server: Side, client: Side) -> list[str]:
    """Play a match: what is wrong with how it went."""
    chance = random.Random(443)
    endpoints = ENDPOINTS[: case.endpoints]
    files = {
        f"{endpoint}/{number:03}-{size}.bin": chance.randbytes(size) for endpoint in endpoints for number, size in enumerate(case.sizes)
    }
    sender, receiver = (server, client) if case.sender == "server" else (client, server)
    for name, content in files.items():
        (sender.root / "www" / name).write_bytes(content)
    origin = "https://127.0.0.1:443"
    serving = server.start(case.server, [*files] if case.sender == "client" else [], SUPPORTED)
    wrong = []
    try:
        _wait_for_port(serving)
        asked = [*files] if case.sender == "server" else endpoints
        connecting = client.start(case.client, [f"{origin}/{path}" for path in asked], OFFERED)
        try:
            status = connecting.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            connecting.kill()
            status = connecting.wait()
        if status != 0:
            wrong.append(f"the client ended with status {status}: {client.output}")
    finally:
        serving.terminate()
        serving.wait(10)
    if case.sender is None:
        for side in (server, client):
            found = side.root / "downloads" / "negotiated_protocol.txt"
            if not found.exists() or found.read_text() != EXPECTED:
                wrong.append(f"the {side.role} negotiated {found.read_text() if found.exists() else 'nothing'}")
    for name, content in files.items():
        arrived = receiver.root / "downloads" / name
        if not arrived.exists() or arrived.read_bytes() != content:
            wrong.append(f"{name} {'differs' if arrived.exists() else 'is missing'}")
    wrong += [f"the {side.role} had {side.handshakes} connections" for side in (server, client) if side.handshakes not in (None, 1)]
    return wrong[:5] + ([f"and {len(wrong) - 5} more"] if len(wrong) > 5 else []) + ([f"server: {server.output}"] if wrong else [])


def _wait_for_port(server: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 20
    while not any(":01BB " in line for table in ("udp", "udp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the server does not listen")
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(description="A match of the interop runner's.")
    parser.add_argument("case", choices=[*CASES, "several"])
    parser.add_argument("--server", default="ours", help='"ours", or a program')
    parser.add_argument("--client", default="ours", help='"ours", or a program')
    parser.add_argument("--scratch", type=Path, required=True, help="an empty directory")
    arguments = parser.parse_args()
    certificate = generate_self_signed_cert("localhost", arguments.scratch, 10)
    sides = [Side(role, getattr(arguments, role), arguments.scratch, certificate) for role in ("server", "client")]
    wrong = play(CASES.get(arguments.case, SEVERAL), *sides)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""The interop runner's test cases: between our client and our server, and with the program of webtransport-go, as the runner plays them."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable
from pathlib import Path

import pytest
from pywebtransport.interop.runner import CASES as KNOWN_CASES
from pywebtransport.interop.runner import Role, UnknownCaseError

from tests.interop.match import CASES
from tests.interop.roster import KNOWN, PEERS, ROOT

NETWORK = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']  # one of its own: port 443 is free

pytestmark = pytest.mark.deadline(120)


def unshares() -> bool:
    """Whether this machine lets us have a network of our own."""
    try:
        return subprocess.run([*NETWORK, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


networked = pytest.mark.skipif(not unshares(), reason="unshare does not give us a network namespace")


async def match(case: str, scratch: Path, **programs: str) -> str:
    """Play it: what was wrong."""
    options = [word for role, program in programs.items() for word in (f"--{role}", program)]
    command = [*NETWORK, sys.executable, "-m", "tests.interop.match", case, "--scratch", str(scratch), *options]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=STDOUT)
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode().strip()


@pytest.fixture(scope="session")
def go_programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The client and the server that webtransport-go brings to the runner, linked statically."""
    directory = tmp_path_factory.mktemp("go")
    packages = [f"github.com/quic-go/webtransport-go/interop/{role}" for role in ("client", "server")]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    subprocess.run(["go", "build", "-o", f"{directory}/", *packages], cwd=PEERS / "go", env=environment, check=True)
    return {role: str(directory / role) for role in ("client", "server")}


@networked
@pytest.mark.parametrize("case", CASES)
async def test_our_client_and_our_server(case: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    record_property("match", (case, "our client, our server"))
    assert await match(case, tmp_path) == ""


@networked
@pytest.mark.interop
@pytest.mark.parametrize("case", CASES)
async def test_our_client_and_the_server_of_webtransport_go(
    case: str, tmp_path: Path, go_programs: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    record_property("match", (case, "our client, webtransport-go's server"))
    assert await match(case, tmp_path, server=go_programs["server"]) == ""


@networked
@pytest.mark.interop
@pytest.mark.parametrize("case", CASES)
async def test_the_client_of_webtransport_go_asks_for_what_we_lack(
    case: str, tmp_path: Path, go_programs: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    """It refuses every server without RESET_STREAM_AT (WT §3.1), before it comes to the case."""
    record_property("match", (case, "webtransport-go's client, our server"))
    record_property("why", KNOWN[("webtransport_go", "client", "connect")].why)
    assert "stream reset partial delivery" in await match(case, tmp_path, client=go_programs["client"])


@pytest.mark.parametrize("role", ["client", "server", "", "both"])
def test_what_is_not_known_ends_with_127(role: str) -> None:
    """The runner asks each side for a case of a random name, to see that it says so."""
    environment = {**os.environ, "ROLE": role, "TESTCASE": "fahrvergnuegen"}
    command = [sys.executable, "-m", "pywebtransport.interop.runner"]
    assert subprocess.run(command, check=False, env=environment, capture_output=True, timeout=20).returncode == 127


def test_each_role_has_its_cases() -> None:
    """A client does not know what only servers are asked, and the other way round."""
    for role, other in (("client", "server"), ("server", "client")):
        for case in KNOWN_CASES[role]:
            assert Role.of({"ROLE": role, "TESTCASE": case}, Path("/")).case == case
            if case not in KNOWN_CASES[other]:
                with pytest.raises(UnknownCaseError):
                    Role.of({"ROLE": other, "TESTCASE": case}, Path("/"))


@networked
async def test_several_endpoints_are_several_sessions_on_one_connection(tmp_path: Path) -> None:
    """``REQUESTS`` may name more than one; there is one handshake all the same."""
    assert await match("several", tmp_path) == ""

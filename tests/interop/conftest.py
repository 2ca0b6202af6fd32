"""Peers in processes of their own, and the page that says what they and we agree on."""

import asyncio
import base64
import os
import ssl
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.interop.matrix import Matrix
from tests.interop.roster import KNOWN, Instead, NotOffered, Peer, Role, Sometimes

Start = Callable[[Peer], Callable[..., AbstractAsyncContextManager[Process]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--interop-page", type=Path, help="write what worked with which peer to this page")


def pytest_configure(config: pytest.Config) -> None:
    if page := config.getoption("--interop-page", None):
        config.pluginmanager.register(Matrix(page), "interop-matrix")


class Either:
    """Equal to each of two values."""

    def __init__(self, *values: object) -> None:
        self._values = values

    def __eq__(self, other: object) -> bool:
        return other in self._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return " or ".join(map(repr, self._values))


class Expectation:
    """What a test may see of its peer: what is right, or what is known to come instead. Without the feature, the test is skipped."""

    def __init__(self, request: pytest.FixtureRequest, peer: Peer, role: Role) -> None:
        marker = request.node.get_closest_marker("feature")
        self._feature: str = marker.args[0]
        self._properties: list[tuple[str, object]] = request.node.user_properties
        self._properties.append(("interop", (peer.name, role, self._feature)))
        self._known = KNOWN.get((peer.name, role, self._feature)) or KNOWN.get((peer.name, role, "*"))
        if isinstance(self._known, NotOffered):
            self._properties.append(("why", self._known.why))
            pytest.skip(f"{peer} does not offer it: {self._known.why}")

    def __call__(self, right: object) -> object:
        if not isinstance(self._known, Instead):
            return right
        self._properties.append(("why", self._known.why))
        return Either(right, self._known.value) if isinstance(self._known, Sometimes) else self._known.value


@pytest.fixture
def pem_files(certificate: tuple[bytes, bytes], tmp_path: Path) -> tuple[Path, Path]:
    """The certificate and its key as the peers take them."""
    pem, key_pem = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_text(ssl.DER_cert_to_PEM_cert(certificate[0]))
    key_pem.write_text(f"-----BEGIN PRIVATE KEY-----\n{base64.encodebytes(certificate[1]).decode()}-----END PRIVATE KEY-----\n")
    return pem, key_pem


@pytest.fixture(scope="session")
def start() -> Start:
    """Builds a peer, once, and gives what starts its program; the program ends with the block."""
    commands: dict[Peer, tuple[str | Path, ...]] = {}

    def start(peer: Peer) -> Callable[..., AbstractAsyncContextManager[Process]]:
        if peer not in commands:
            commands[peer] = peer.prepare(peer)

        @asynccontextmanager
        async def run(*arguments: str | Path) -> AsyncIterator[Process]:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
            process = await asyncio.create_subprocess_exec(*commands[peer], *arguments, stdin=PIPE, stdout=PIPE, env=environment)
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.terminate()
                try:
                    async with asyncio.timeout(5):
                        await process.communicate()
                except TimeoutError:
                    process.kill()
                    await process.communicate()

        return run

    return start

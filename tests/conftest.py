"""What all tests share: a deadline for each, a certificate, and a connected pair of sessions over loopback."""

import asyncio
import functools
import inspect
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import web_transport
from web_transport import Client, RecvStream, SendStream, Server, Session

DEADLINE = 30  # seconds that a test may take; `@pytest.mark.deadline(seconds)` sets another


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "deadline(seconds): how long an asynchronous test may take")
    # A job that a script puts in the background ignores SIGINT, and so would every server that a test starts and ends by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing hangs: every asynchronous test runs in an `asyncio.timeout`."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            marker = item.get_closest_marker("deadline")
            item.obj = _timed(item.obj, marker.args[0] if marker else DEADLINE)


def _timed(test: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    @functools.wraps(test)
    async def timed(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(seconds):
            await test(*args, **kwargs)

    return timed


@dataclass
class Pair:
    """The two ends of one session."""

    client: Session
    server: Session

    async def uni(self) -> tuple[SendStream, RecvStream]:
        """A unidirectional stream from the client: its sending and its receiving end."""
        return await self.client.open_uni(), await self.server.accept_uni()

    async def bi(self) -> tuple[tuple[SendStream, RecvStream], tuple[SendStream, RecvStream]]:
        """A bidirectional stream of the client: the client's end and the server's."""
        return await self.client.open_bi(), await self.server.accept_bi()


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where processes put their temporary files: what those leave that had to be killed, pytest deletes a few runs later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)  # it was looked up before
        yield


@pytest.fixture(scope="session")
def certificate() -> tuple[bytes, bytes]:
    """A certificate for localhost and its key."""
    return web_transport.generate_self_signed(["localhost", "127.0.0.1", "::1"])


@pytest.fixture(scope="session")
def ipv6() -> None:
    """Skips the test where the machine has no IPv6: its sockets may be there all the same, but no address to send to."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6: {error}")


@pytest.fixture
def certificate_files(tmp_path: Path, certificate: tuple[bytes, bytes]) -> list[Path]:
    """The same in files, for servers in processes of their own."""
    paths = [tmp_path / "certificate.der", tmp_path / "key.der"]
    for path, content in zip(paths, certificate, strict=True):
        path.write_bytes(content)
    return paths


@pytest.fixture
async def make_server(certificate: tuple[bytes, bytes]) -> AsyncIterator[Callable[..., Server]]:
    """Makes servers on free ports of 127.0.0.1, and closes them after the test."""
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> Server:
            chain, key = [certificate[0]], certificate[1]
            server = Server(**{"certificate_chain": chain, "private_key": key, "bind": "127.0.0.1:0", **options})
            stack.push_async_exit(server)
            return server

        yield make


@pytest.fixture
async def make_client(certificate: tuple[bytes, bytes]) -> AsyncIterator[Callable[..., Client]]:
    """Makes clients that pin the certificate, and closes them after the test."""
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> Client:
            if "no_cert_verification" not in options:
                options = {"server_certificate_hashes": [web_transport.certificate_hash(certificate[0])], **options}
            client = Client(**options)
            stack.push_async_exit(client)
            return client

        yield make


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server with the default options."""
    return make_server()


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """A client with the default options."""
    return make_client()


@pytest.fixture
def url(server: Server) -> str:
    """Where `server` listens."""
    return f"https://127.0.0.1:{server.local_addr[1]}/"


@pytest.fixture
def connect() -> Callable[..., Any]:
    """Connects a client to a server: gives both ends of the session."""

    async def connect(client: Client, server: Server, path: str = "/") -> Pair:
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(client.connect(f"https://127.0.0.1:{server.local_addr[1]}{path}"))
            request = await server.accept()
            assert request is not None
            accepted = await request.accept()
        return Pair(connecting.result(), accepted)

    return connect


@pytest.fixture
async def pair(client: Client, server: Server, connect: Callable[..., Any]) -> Pair:
    """A connected client and server."""
    async with asyncio.timeout(DEADLINE):
        return await connect(client, server)


@pytest.fixture
def parked() -> Callable[..., Any]:
    """Starts a coroutine and lets it run until it waits for something of the network."""

    async def parked(coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0)
        assert not task.done()
        return task

    return parked

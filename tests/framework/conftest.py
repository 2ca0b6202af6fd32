"""What the framework's tests share: servers and clients of the framework over loopback, and the two ends of a session."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pywebtransport import ClientConfig, ServerApp, ServerConfig, WebTransportClient, WebTransportServer, WebTransportSession
from pywebtransport.testing import SessionPair

from tests.framework.meeting import join


@pytest.fixture(scope="session")
def pem(webtransport_certificate: tuple[str, str]) -> tuple[str, str]:
    """The files of a certificate for localhost and of its key."""
    return webtransport_certificate


@pytest.fixture
async def serve(pem: tuple[str, str]) -> AsyncIterator[Callable[..., Awaitable[WebTransportServer]]]:
    """Makes servers that listen on free ports of 127.0.0.1, and closes them after the test."""
    async with AsyncExitStack() as stack:

        async def serve(**fields: Any) -> WebTransportServer:
            settings = {"certfile": pem[0], "keyfile": pem[1], "bind_host": "127.0.0.1", "bind_port": 0, "close_timeout": 0.2}
            server = await stack.enter_async_context(WebTransportServer(ServerConfig(**{**settings, **fields})))
            await server.listen()
            return server

        yield serve


@pytest.fixture
async def serve_echo(pem: tuple[str, str]) -> AsyncIterator[Callable[..., Awaitable[ServerApp]]]:
    """Runs applications on free ports of 127.0.0.1 that send back what comes over bidirectional streams at ``/``, until the test ends."""
    async with AsyncExitStack() as stack:

        async def serve_echo(**fields: Any) -> ServerApp:
            settings = {"certfile": pem[0], "keyfile": pem[1], "bind_host": "127.0.0.1", "bind_port": 0, "close_timeout": 0}
            app = ServerApp(ServerConfig(**{**settings, **fields}))

            @app.route("/")
            async def echo(session: WebTransportSession) -> None:
                async for stream in session.incoming_bidirectional_streams():
                    await stream.write_all(await stream.read_all())

            await stack.enter_async_context(app)
            await app.server.listen()
            serving = asyncio.create_task(app.serve())
            stack.push_async_callback(asyncio.wait, [serving])
            stack.push_async_callback(app.shutdown)
            return app

        yield serve_echo


@pytest.fixture
async def make_client() -> AsyncIterator[Callable[..., WebTransportClient]]:
    """Makes clients that take any certificate, and closes them after the test."""
    async with AsyncExitStack() as stack:

        def make(**fields: Any) -> WebTransportClient:
            client = WebTransportClient(ClientConfig(**{"verify_mode": ssl.CERT_NONE, **fields}))
            stack.push_async_exit(client)
            return client

        yield make


@pytest.fixture
async def meet(serve: Any, make_client: Any) -> Callable[..., Awaitable[SessionPair]]:
    """Connects a client to a server, each with the fields of the configuration that it is given."""

    async def meet(
        client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, path: str = "/", **options: Any
    ) -> SessionPair:
        listener, connector = await serve(**(server or {})), make_client(**(client or {}))
        return await join(connector, listener, path, **options)

    return meet


@pytest.fixture
def ends(webtransport_pair: SessionPair) -> SessionPair:
    """A session with the defaults."""
    return webtransport_pair


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a port where nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{bound.getsockname()[1]}/"

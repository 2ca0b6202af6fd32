"""What the tests of the interop server and of the command line share."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from pywebtransport import ClientConfig, ServerApp, ServerConfig, WebTransportClient
from pywebtransport.interop import Game, create_app
from pywebtransport.utils import generate_self_signed_cert

Start = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The files of a certificate for localhost and of its key."""
    return generate_self_signed_cert("localhost", tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def start(pem: tuple[str, str]) -> Start:
    """Runs the interop server, or another application, on a free port; gives the origin to connect to."""

    @asynccontextmanager
    async def start(game: type[Game] = Game, app: ServerApp | None = None) -> AsyncIterator[str]:
        config = ServerConfig(certfile=pem[0], keyfile=pem[1], close_timeout=0.2, allowed_origins=["*"])
        app = app or create_app(config, game=game)
        async with app:
            await app.server.listen("127.0.0.1", 0)
            serving = asyncio.create_task(app.serve())
            yield f"https://127.0.0.1:{app.server.local_addresses[0][1]}"
            await app.server.close()
            await serving

    return start


@pytest.fixture
async def origin(start: Start) -> AsyncIterator[str]:
    """Where the interop server listens."""
    async with start() as origin:
        yield origin


@pytest.fixture
async def client() -> AsyncIterator[WebTransportClient]:
    """A client that takes any certificate."""
    async with WebTransportClient(ClientConfig(verify_mode=ssl.CERT_NONE, close_timeout=0.2)) as client:
        yield client

"""The fixtures of `pywebtransport.testing`, which pytest finds by itself."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from .app import ServerApp
from .router import SessionHandler
from .testing import Serving, SessionPair, connected, serving
from .utils import generate_self_signed_cert

if TYPE_CHECKING:
    async_fixture = pytest.fixture
else:
    try:
        from pytest_asyncio import fixture as async_fixture
    except ImportError:  # anyio takes plain ones
        async_fixture = pytest.fixture

Serve: TypeAlias = Callable[..., Awaitable[Serving]]


@pytest.fixture(scope="session")
def webtransport_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The PEM files of a certificate for localhost, 127.0.0.1 and ::1, and of its key."""
    return generate_self_signed_cert("localhost", tmp_path_factory.mktemp("webtransport"))


@async_fixture
async def webtransport_serve() -> AsyncIterator[Serve]:
    """Applications are served until the end of the test: await it with what `serving` takes, and get what that gives."""
    async with AsyncExitStack() as stack:

        async def serve(app: ServerApp | SessionHandler, **fields: Any) -> Serving:
            return await stack.enter_async_context(serving(app, **fields))

        yield serve


@async_fixture
async def webtransport_pair() -> AsyncIterator[SessionPair]:
    """The two ends of a session over loopback."""
    async with connected() as pair:
        yield pair

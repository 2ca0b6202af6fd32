"""One browser process for all tests, a fresh page and a fresh server for each."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from web_transport import Server, certificate_hash, generate_self_signed

from tests.browsers.browser import LAUNCHERS, Browser
from tests.browsers.meeting import Meeting, serve_page


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=sorted(LAUNCHERS))
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """Each browser in turn."""
    async with LAUNCHERS[request.param]() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site() -> AsyncIterator[str]:
    """The address of the HTTP server that the pages come from: on 127.0.0.1, a page is a secure context."""
    async with serve_page() as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def meet(browser: Browser, site: str) -> AsyncIterator[Meeting]:
    """A fresh page, and a server that it may connect to."""
    certificate, key = generate_self_signed(["127.0.0.1"])
    async with Server(certificate_chain=[certificate], private_key=key, bind="127.0.0.1:0") as server, browser.page(site) as page:
        yield Meeting(page, server, certificate_hash(certificate))

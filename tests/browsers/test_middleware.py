"""Middleware of the framework, asked for sessions by real pages and by the Python client: who gets one, and with which status not."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import pytest_asyncio
from pywebtransport import (
    ClientConfig,
    HandshakeError,
    MiddlewareRejected,
    ServerApp,
    ServerConfig,
    WebTransportClient,
    WebTransportSession,
)
from pywebtransport.middleware import Middleware, create_auth_middleware, create_cors_middleware, create_rate_limit_middleware
from pywebtransport.types import Headers, SessionProtocol
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

from tests.browsers.browser import LAUNCHERS, Browser, Page, PageError, launch_chromium

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]

_ASK = """async (url, hash, headers) => {
    const options = {serverCertificateHashes: [{algorithm: "sha-256", value: Uint8Array.from(hash)}], headers};
    const transport = new WebTransport(url, options);
    await transport.ready;
    transport.close();
}"""


class Asked:
    """An application with a route, and what it answered to whoever asked."""

    def __init__(self, app: ServerApp, pin: bytes) -> None:
        self.app, self.pin = app, pin
        self._sessions: list[WebTransportSession] = []

        @app.route("/")
        async def handler(session: WebTransportSession) -> None:
            await session.wait_closed()

        @app.middleware
        async def remember(session: SessionProtocol) -> None:
            assert isinstance(session, WebTransportSession)
            self._sessions.append(session)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.app.server.local_addresses[0][1]}"

    async def last_status(self) -> int:
        """How the last request was answered."""
        session = self._sessions[-1]
        await session.wait_closed()
        reason = session.close_reason or ""
        return int(reason.rpartition(" ")[2]) if reason.startswith("rejected with status") else 200


@pytest_asyncio.fixture(loop_scope="session")
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Asked]]]:
    """Runs applications with the middleware that it is given, and otherwise for pages of every origin."""
    stop: list[Callable[[], Awaitable[None]]] = []

    async def run(*middleware: Middleware) -> Asked:
        certfile, keyfile = generate_self_signed_cert("localhost", tmp_path)
        config = ServerConfig(
            certfile=certfile, keyfile=keyfile, bind_host="127.0.0.1", bind_port=0, close_timeout=0, allowed_origins=["*"]
        )
        app = ServerApp(config)
        asked = Asked(app, certificate_hash(certfile))
        for each in middleware:
            app.add_middleware(each)
        await app.startup()
        await app.server.listen()
        serving = asyncio.create_task(app.serve())
        stop.extend([app.shutdown, lambda: asyncio.wait_for(serving, 10)])
        return asked

    yield run
    for end in stop:
        await end()


Ask = Callable[..., Awaitable[int]]


def page_asks(page: Page) -> Ask:
    """How a page asks, which learns no status: it is the application's word."""

    async def ask(asked: Asked, path: str = "/", headers: Headers | None = None) -> int:
        established = True
        try:
            await page.evaluate(_ASK, asked.url + path, list(asked.pin), dict(headers or {}))
        except PageError as refused:
            established = False
            if (refused.name, refused.source) != ("WebTransportError", "session"):
                raise
        status = await asked.last_status()
        assert established == (status == 200)
        return status

    return ask


@asynccontextmanager
async def python_asks(origin: str) -> AsyncIterator[Ask]:
    """How a program asks, which learns the status; it can name any origin."""
    async with WebTransportClient(ClientConfig(verify_mode=ssl.CERT_NONE, headers={"origin": origin})) as client:

        async def ask(asked: Asked, path: str = "/", headers: Headers | None = None) -> int:
            status: int | None = 200
            try:
                await (await client.connect(asked.url + path, headers=headers)).close()
            except HandshakeError as refused:
                status = refused.status_code
            assert status == await asked.last_status()
            return status

        yield ask


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[*sorted(LAUNCHERS), "python"])
async def who(request: pytest.FixtureRequest) -> AsyncIterator[Browser | None]:
    """A browser, or None for the Python client."""
    if request.param == "python":
        yield None
    else:
        async with LAUNCHERS[request.param]() as browser:
            yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def ask(who: Browser | None, site: str) -> AsyncIterator[Ask]:
    """Asks for a session, and tells the status of the answer."""
    if who is None:
        async with python_asks(site) as asks:
            yield asks
    else:
        async with who.page(site) as page:
            yield page_asks(page)


async def test_a_token_in_the_query(serve: Any, ask: Ask) -> None:
    """What a page can send, which sets no header fields."""

    async def check(session: SessionProtocol) -> None:
        if parse_qs(session.query).get("token") != ["se&cret"]:
            raise MiddlewareRejected(401)

    asked = await serve(check)
    assert [await ask(asked, path) for path in ("/", "/?token=wrong", "/?token=se%26cret")] == [401, 401, 200]


async def test_a_list_of_origins(serve: Any, ask: Ask, site: str) -> None:
    """Pages of others get a 403."""
    allowing = await serve(create_cors_middleware([site, "https://*.example"]))
    refusing = await serve(create_cors_middleware(["https://*.example"]))
    assert (await ask(allowing), await ask(refusing)) == (200, 403)


async def test_too_many_requests(serve: Any, ask: Ask) -> None:
    """RFC 6585 §4: those that are over the limit get a 429, until time has passed."""
    asked = await serve(create_rate_limit_middleware(max_requests=2, window_seconds=600))
    assert [await ask(asked) for _ in range(4)] == [200, 200, 429, 429]


async def test_an_exception_becomes_500(serve: Any, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """And is logged; the server goes on."""

    async def fail(session: SessionProtocol) -> None:
        if session.query == "fail":
            raise KeyError("a bug")

    asked = await serve(fail)
    assert [await ask(asked, path) for path in ("/?fail", "/")] == [500, 200]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [error.partition(":")[0] for error in errors] == ["middleware failed for a session of /"]


async def check_header(serve: Any, ask: Ask) -> None:
    """A token in a header field is looked at."""

    def allowed(headers: Headers) -> bool:
        return headers.get("authorization") == "Bearer secret"

    asked = await serve(create_auth_middleware(allowed))
    tokens: list[dict[str, str]] = [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer secret"}]
    assert [await ask(asked, "/", headers) for headers in tokens] == [401, 401, 200]


async def test_a_token_in_a_header_of_a_program(serve: Any, site: str) -> None:
    """RFC 9110 §11.6.2."""
    async with python_asks(site) as ask:
        await check_header(serve, ask)


async def test_a_token_in_a_header_of_a_page(serve: Any, site: str) -> None:
    """Chromium sends header fields of the page's own, so far behind a flag."""
    async with launch_chromium("--enable-experimental-web-platform-features") as browser, browser.page(site) as page:
        await check_header(serve, page_asks(page))

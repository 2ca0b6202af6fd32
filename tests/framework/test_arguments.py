"""Arguments of the wrong kind: told where they are given, by their names, and not by what fails of them later."""

import asyncio
import math

import pytest
from pywebtransport import (
    ClientConfig,
    EventEmitter,
    LoadBalancer,
    ReconnectingClient,
    RequestRouter,
    ServerApp,
    ServerConfig,
    WebTransportClient,
    WebTransportServer,
)
from pywebtransport.events import Event
from pywebtransport.middleware import create_auth_middleware, create_rate_limit_middleware

NOWHERE = "https://127.0.0.1:1/"


async def handler(*_: object, **__: object) -> None:
    """What may be called."""


@pytest.mark.parametrize("url", [None, 3, b"https://localhost/", ["https://localhost/"]])
async def test_a_url_is_a_str(make_client, url):
    """It counts as no attempt."""
    client = make_client()
    with pytest.raises(TypeError, match="url must be a str"):
        await client.connect(url)
    assert client.diagnostics().stats.connections_attempted == 0


@pytest.mark.parametrize("headers", [3, "a", {1: "a"}, {"a": 1}, {"a": None}])
async def test_headers_are_pairs(make_client, headers):
    """As defaults, they are not kept until somebody connects."""
    client = make_client()
    with pytest.raises(TypeError, match="headers must be"):
        client.set_default_headers(headers)
    with pytest.raises(TypeError, match="headers must be"):
        await client.connect(NOWHERE, headers=headers)
    assert not client.connection_manager.connections


async def test_seconds_are_numbers(make_client):
    """NaN is none, and no coroutine is left that nobody awaits."""
    client = make_client()
    waits = [
        lambda seconds: client.connect(NOWHERE, timeout=seconds),
        lambda seconds: EventEmitter().wait_for("something", timeout=seconds),
        lambda seconds: ReconnectingClient(NOWHERE, client).get_session(seconds),
    ]
    for wait in waits:
        for seconds, error in (("1", TypeError), ([], TypeError), (-1, ValueError), (math.nan, ValueError)):
            with pytest.raises(error, match="timeout must be a number of seconds"):
                await wait(seconds)


async def test_pauses_pass(make_client):
    """A pause that is none would have the client try for ever, as fast as it can."""
    client = make_client()
    for name in ("retry_delay", "retry_backoff", "max_retry_delay"):
        for seconds in (-1, math.nan):
            with pytest.raises(ValueError, match=f"{name} must be a number"):
                ReconnectingClient(NOWHERE, client, **{name: seconds})
    for name in ("health_check_interval", "health_check_timeout"):
        for seconds in (0, -1, math.nan):
            with pytest.raises(ValueError, match=name):
                LoadBalancer([NOWHERE], client, **{name: seconds})
    with pytest.raises(ValueError, match="window_seconds must be more than 0"):
        create_rate_limit_middleware(window_seconds=math.nan)


@pytest.mark.parametrize("config", ["server.toml", 3, {}])
def test_configurations_are_of_their_kind(config):
    """One for the other side is none, either."""
    for make, wrong in ((WebTransportClient, ServerConfig()), (WebTransportServer, ClientConfig()), (ServerApp, ClientConfig())):
        for each in (config, wrong):
            with pytest.raises(TypeError, match=f"config must be a (Client|Server)Config, or None, not a {type(each).__name__}$"):
                make(each)


def test_a_decorator_needs_its_parentheses():
    """Without them the handler would be the path, and never be called."""
    app = ServerApp()
    for decorator in (app.route, app.pattern_route):
        with pytest.raises(TypeError, match="of a route must be a str"):
            decorator(handler)
    router = RequestRouter()
    for add in (router.add_route, router.add_pattern_route):
        with pytest.raises(TypeError, match="of a route must be a str"):
            add(None, handler)
    assert not app.router.get_all_routes()


def test_handlers_can_be_called():
    """Told where they are given: sessions and events come later, and elsewhere."""
    app = ServerApp()
    events = EventEmitter()
    for give in (
        app.route("/"),
        app.pattern_route("/.*"),
        app.add_middleware,
        create_auth_middleware,
        app.on_startup,
        app.on_shutdown,
        app.router.set_default_handler,
        lambda wrong: events.on("something", wrong),
        lambda wrong: events.once("something", wrong),
        events.on_any,
    ):
        with pytest.raises(TypeError, match="must be callable: 'nothing'"):
            give("nothing")
    app.router.set_default_handler(None)
    assert not app.router.get_all_routes()
    assert not events.is_heard


async def test_a_condition_that_raises_ends_the_wait():
    """Who waits hears of it, and nobody listens any more."""
    events = EventEmitter()

    def condition(event: Event) -> bool:
        return bool(event.data["missing"])

    waiting = asyncio.create_task(events.wait_for("something", condition=condition))
    await asyncio.sleep(0)
    await events.emit("something", data={})
    with pytest.raises(KeyError, match="missing"):
        await waiting
    assert not events.is_heard


async def test_the_end_is_no_time_out():
    """What ends an emitter reaches who waits as it is, even where that is a TimeoutError."""
    events = EventEmitter()
    waiting = asyncio.create_task(events.wait_for("something", timeout=20))
    await asyncio.sleep(0)
    events.end(TimeoutError("the peer is silent"))
    with pytest.raises(TimeoutError, match="the peer is silent"):
        await waiting

"""Applications: from a path to a handler, over loopback, and from the start to an end that leaves nobody waiting."""

import asyncio
import functools
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pywebtransport import (
    AuthenticationError,
    ConfigurationError,
    ErrorCodes,
    HandshakeError,
    MiddlewareRejected,
    RateLimiter,
    ServerApp,
    ServerConfig,
    ServerError,
    SessionError,
    SessionState,
)
from pywebtransport.middleware import create_auth_middleware, create_cors_middleware

from tests.framework.meeting import url_of


@pytest.fixture
async def make_app(pem: tuple[str, str]) -> Any:
    """Makes applications with the fields of the configuration that it is given; none is running yet."""

    def make(**fields: Any) -> ServerApp:
        settings = {"certfile": pem[0], "keyfile": pem[1], "bind_host": "127.0.0.1", "bind_port": 0, "close_timeout": 0.2}
        return ServerApp(ServerConfig(**{**settings, **fields}))

    return make


@pytest.fixture
async def running() -> Any:
    """Starts applications, has them serve, and shuts them down after the test."""
    async with AsyncExitStack() as stack:

        async def run(app: ServerApp) -> Callable[[str], str]:
            await stack.enter_async_context(app)
            await app.server.listen()
            serving = asyncio.create_task(app.serve())
            stack.push_async_callback(asyncio.wait, [serving])
            stack.push_async_callback(app.shutdown)
            return functools.partial(url_of, app.server)

        yield run


async def closed(session) -> tuple[int | None, str | None]:
    """With which words the server closed a session."""
    await session.wait_closed()
    return session.close_code, session.close_reason


# Routes and handlers


async def test_a_session_goes_to_the_handler_of_its_path(make_app, make_client, running):
    """Parameters and named groups are arguments; the session is open when the handler begins, and closed after it."""
    app, seen = make_app(), []

    @app.route("/")
    async def root(session):
        seen.append((session.state, session.path))

    @app.route("/chat/{room}")
    async def chat(session, room):
        seen.append(("room", room))

    @app.pattern_route(pattern=r"/n/(?P<number>\d+)")
    async def numbers(session, number="0"):
        seen.append(("number", number))

    url, client = await running(app), make_client()
    for path in ("/?a=b", "/chat/caf%C3%A9", "/n/12"):
        assert await closed(await client.connect(url(path))) == (ErrorCodes.APP_NO_ERROR, "")
    assert seen == [(SessionState.CONNECTED, "/"), ("room", "café"), ("number", "12")]
    assert await root(_Anything()) is None, "a decorated handler is what it was"


class _Anything:
    state = path = None


async def test_a_path_without_a_route_is_rejected(make_app, make_client, running):
    """With 405, as draft-16 asks for."""
    app = make_app()

    @app.route("/a")
    async def handler(session):
        pass

    url, client = await running(app), make_client()
    for path in ("/", "/a/", "/ab"):
        with pytest.raises(HandshakeError) as caught:
            await client.connect(url(path))
        assert caught.value.status_code == 405
    await client.connect(url("/a"))


@pytest.mark.parametrize(("dialect", "status"), [("draft-02", 404), ("draft-07", 404), ("draft-14", 404), ("draft-16", 405)])
def test_the_status_of_a_missing_route_depends_on_the_dialect(dialect, status):
    """Drafts up to 15 ask for 404, and those since for 405."""
    from pywebtransport.app import _no_route

    assert _no_route(dialect) == status


async def test_a_handler_that_raises_is_logged_and_kills_nothing(make_app, make_client, running, caplog):
    """The client learns a code, the log the traceback, and the next session is served."""
    app = make_app()

    @app.route("/{what}")
    async def handler(session, what):
        raise LookupError(f"no {what}")

    url, client = await running(app), make_client()
    for what in ("bread", "milk"):
        assert await closed(await client.connect(url(f"/{what}"))) == (ErrorCodes.APP_GENERIC_ERROR, "the handler failed")
        assert f"LookupError: no {what}" in caplog.text
    assert app.server.is_serving


async def test_a_handler_that_is_no_coroutine_function_is_named(make_app, make_client, running, caplog):
    """Somebody forgot its ``async``, which nobody can see before it is called."""
    app = make_app()

    @app.route("/")
    def handler(session):
        pass

    url = await running(app)
    assert (await closed(await make_client().connect(url("/"))))[0] == ErrorCodes.APP_GENERIC_ERROR
    assert "must be a coroutine function: <function" in caplog.text


@pytest.mark.parametrize("together", [False, True], ids=["alone", "in a group"])
async def test_a_peer_that_leaves_is_no_failure_of_the_handler(make_app, make_client, running, caplog, together):
    """A handler that ends because its session did is no news, and no error in the log; nor is one whose tasks did."""
    app, done = make_app(), asyncio.Event()

    @app.route("/")
    async def handler(session):
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(2 if together else 0):
                    tasks.create_task(session.accept_bidirectional_stream())
            await session.read_datagram()
        finally:
            done.set()

    url = await running(app)
    await (await make_client().connect(url())).close()
    await done.wait()
    await app.shutdown()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("together", [False, True], ids=["alone", "in a group"])
async def test_a_stream_that_the_client_gives_up_is_no_failure_of_the_handler(make_app, make_client, running, caplog, together):
    """What clients may do fills no log with tracebacks; that the handler ended is told in a line."""
    app = make_app()

    @app.route("/")
    async def handler(session):
        stream = await session.accept_bidirectional_stream()
        if not together:
            await stream.read_all()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stream.read_all())

    url = await running(app)
    session = await make_client().connect(url("/"))
    stream = await session.create_bidirectional_stream()
    await stream.write(b"half a")
    await stream.reset(7)
    assert await closed(session) == (ErrorCodes.APP_GENERIC_ERROR, "the handler failed")
    assert [record.levelname for record in caplog.records if "the client of / ended its handler" in record.getMessage()] == ["WARNING"]
    assert "Traceback" not in caplog.text


async def test_a_stream_that_the_handler_ended_itself_is_its_failure(make_app, make_client, running, caplog):
    """Writing after the end is a mistake, and the log shows where."""
    app = make_app()

    @app.route("/")
    async def handler(session):
        stream = await session.create_unidirectional_stream()
        await stream.write_all(b"all")
        await stream.write(b"more")

    url = await running(app)
    await closed(await make_client().connect(url("/")))
    assert "the handler of / raised" in caplog.text


async def test_a_group_with_another_failure_is_logged(make_app, make_client, running, caplog):
    """Of several errors one that is not the client's leaving counts."""
    app, done = make_app(), asyncio.Event()

    @app.route("/")
    async def handler(session):
        try:
            await session.wait_closed()
            raise ExceptionGroup("several", [SessionError("over"), KeyError("x")])
        finally:
            done.set()

    url = await running(app)
    await (await make_client().connect(url())).close()
    await done.wait()
    await app.shutdown()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["the handler of / raised"]


async def test_the_first_offered_protocol_that_the_route_speaks_is_agreed_upon(make_app, make_client, running):
    """The client's order counts; with none in common the handler is called all the same."""
    app = make_app()

    @app.route("/", protocols=["chat-1", "chat-2"])
    async def handler(session):
        await session.send_datagram(str(session.wt_protocol).encode())
        await session.wait_closed()

    url, client = await running(app), make_client()
    for offered, expected in [(["x", "chat-2", "chat-1"], "chat-2"), (["x"], None), ([], None)]:
        async with await client.connect(url(), wt_available_protocols=offered) as session:
            assert await session.read_datagram() == str(expected).encode()
            assert session.wt_protocol == expected


async def test_sessions_are_served_at_once(make_app, make_client, running):
    """One that takes its time holds up no other, on its own connection or another's."""
    app, together = make_app(), asyncio.Barrier(4)

    @app.route("/")
    async def handler(session):
        await together.wait()

    url, client = await running(app), make_client()
    first = await client.connect(url())
    sessions = [first, *[await client.connect(url()) for _ in range(2)]]
    await together.wait()
    for session in sessions:
        assert (await closed(session))[0] == 0


# Middleware


async def test_middleware_rejects_before_the_session_is_accepted(make_app, make_client, running):
    """Status and header fields reach the client; what middleware fails with does not."""
    app, handled = make_app(), []

    @app.middleware
    async def check(session):
        match session.headers.get("x-ask"):
            case "teapot":
                raise MiddlewareRejected(status_code=418, headers={"x-why": "tea"})
            case "failure":
                raise OSError("the database is in /secret")
            case "nonsense":
                raise MiddlewareRejected(200)
            case "split":
                raise MiddlewareRejected(403, {"x": "a\r\nb"})

    @app.route("/")
    async def handler(session):
        handled.append(session)

    url, client = await running(app), make_client()
    for ask, status in [("teapot", 418), ("failure", 500), ("nonsense", 500), ("split", 500)]:
        with pytest.raises(HandshakeError) as caught:
            await client.connect(url(), headers={"x-ask": ask})
        assert caught.value.status_code == status
        assert ask != "teapot" or caught.value.headers["x-why"] == "tea"
        assert b"secret" not in caught.value.body
    assert not handled
    await client.connect(url())


async def test_middleware_that_is_cancelled_rejects(make_app, make_client, running):
    """Who asked hears of it at once: what middleware waited for was cancelled by somebody else, or the server shuts down."""
    app, asked = make_app(), asyncio.Event()

    @app.middleware
    async def wait(session):
        if session.path == "/shared":
            shared = asyncio.get_running_loop().create_future()
            shared.cancel()
            await shared
        asked.set()
        await asyncio.Event().wait()

    url, client = await running(app), make_client()
    with pytest.raises(HandshakeError) as caught:
        await client.connect(url("/shared"))
    assert caught.value.status_code == 503
    connecting = asyncio.create_task(client.connect(url()))
    await asked.wait()
    await app.shutdown()
    with pytest.raises(HandshakeError) as caught:
        await connecting
    assert caught.value.status_code == 503


async def test_run_is_for_outside_of_loops(make_app):
    """Where one runs, as in a notebook, the error says what to call, and no coroutine is left that nobody awaits."""
    with pytest.raises(ServerError, match=r"await serve\(\) instead"):
        make_app().run()


async def test_the_middleware_that_comes_along_works_over_the_wire(make_app, make_client, running):
    """Authentication, origins and rates, each with its status."""
    app = make_app(allowed_origins=["*"])
    app.add_middleware(RateLimiter(max_requests=3))
    app.add_middleware(create_cors_middleware(allowed_origins=["https://*.example"]))
    app.add_middleware(create_auth_middleware(auth_handler=lambda headers: "authorization" in headers))

    @app.route("/")
    async def handler(session):
        pass

    url, client = await running(app), make_client()
    with pytest.raises(AuthenticationError) as caught:
        await client.connect(url(), headers={"origin": "https://a.example"})
    assert (caught.value.status_code, caught.value.headers["www-authenticate"]) == (401, "Bearer")
    with pytest.raises(AuthenticationError) as caught:
        await client.connect(url(), headers={"origin": "https://evil.test", "authorization": "x"})
    assert caught.value.status_code == 403
    await client.connect(url(), headers={"origin": "https://a.example", "authorization": "x"})
    with pytest.raises(HandshakeError) as caught:
        await client.connect(url(), headers={"authorization": "x"})
    assert caught.value.status_code == 429
    assert 0 < int(caught.value.headers["retry-after"]) <= 60
    assert caught.value.is_retriable


# Start and end


async def test_start_and_end_come_in_order(make_app):
    """Middleware is entered before the start and left after the end; functions may be coroutine functions or not."""
    app, seen = make_app(), []

    class Stateful:
        async def __call__(self, session):
            pass

        async def __aenter__(self):
            seen.append("enter")

        async def __aexit__(self, *exc_info):
            seen.append("leave")

    app.add_middleware(Stateful())

    @app.on_startup
    async def begin():
        seen.append("startup")

    @app.on_startup
    def begin_more():
        seen.append("more startup")

    @app.on_shutdown
    def fail():
        raise KeyError("not there")

    @app.on_shutdown
    async def end():
        seen.append("shutdown")

    async with app:
        assert seen == ["enter", "startup", "more startup"]
    await app.shutdown()
    assert seen == ["enter", "startup", "more startup", "shutdown", "leave"]
    with pytest.raises(ServerError, match="started before"):
        await app.startup()


async def test_a_start_that_fails_is_undone(make_app):
    """The error comes out of it, and the middleware is left."""
    app, limiter = make_app(), RateLimiter()
    app.add_middleware(limiter)

    @app.on_startup
    def fail():
        raise OSError("no database")

    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="no database"):
        await app.serve()
    assert asyncio.all_tasks() == before
    assert not app.server.is_serving


async def test_shutdown_asks_waits_and_cancels(make_app, make_client, running):
    """Sessions hear of it first; who stays beyond the time-out is closed, and handlers that go on are cancelled."""
    app, cancelled, drained = make_app(), asyncio.Event(), asyncio.Event()

    @app.route("/")
    async def handler(session):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    url = await running(app)
    session = await make_client().connect(url())
    session.events.on("session_draining", lambda event: drained.set())
    await app.shutdown()
    await asyncio.gather(session.wait_closed(), cancelled.wait(), drained.wait())


async def test_serve_starts_and_ends_what_was_not_started(make_app, make_client):
    """Cancelling it is a shutdown, and it is not swallowed."""
    app, seen, listening = make_app(close_timeout=30), [], asyncio.Event()
    app.on_startup(listening.set)
    app.on_shutdown(lambda: seen.append("shutdown"))

    @app.route("/")
    async def handler(session):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.wait_closed())

    serving = asyncio.create_task(app.serve(host="127.0.0.1", port=0))
    await listening.wait()
    while not app.server.is_serving:
        await asyncio.sleep(0)
    session = await make_client().connect(url_of(app.server))
    session.events.on("session_draining", lambda event: asyncio.ensure_future(session.close(7)))
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert seen == ["shutdown"]
    assert not app.server.is_serving


async def test_what_cannot_be_served(pem):
    """An address that is taken, and a missing certificate, are errors of the call."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ServerError, match="cannot bind"):
            await ServerApp(ServerConfig(certfile=pem[0], keyfile=pem[1])).serve("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConfigurationError, match="a server needs a certificate"):
        await ServerApp().serve("127.0.0.1", 0)


SERVER = """
import sys
from pywebtransport import ServerApp, ServerConfig

app = ServerApp(config=ServerConfig(certfile=sys.argv[1], keyfile=sys.argv[2], close_timeout=float(sys.argv[3])))

@app.route("/")
async def handler(session):
    print("session", flush=True)
    await session.wait_closed()

@app.on_startup
def tell():
    print("started", flush=True)

@app.on_shutdown
async def end():
    print("ended", flush=True)

app.run(host="127.0.0.1", port=int(sys.argv[4]))
print("returned", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
async def test_signals_drain_and_exit_with_0(pem, make_client, number, times):
    """A signal asks the client to end, and waits for it; a second one waits no longer. Either way the program goes on after `run`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-c", SERVER, *map(str, pem), "600", str(port)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"started\n"
        session = await make_client().connect(f"https://127.0.0.1:{port}/")
        assert await process.stdout.readline() == b"session\n"
        process.send_signal(number)
        await session.events.wait_for("session_draining")
        if times == 1:
            await session.close()
        else:
            process.send_signal(number)
        assert await process.stdout.read() == b"ended\nreturned\n"
        assert await process.wait() == 0
        await session.wait_closed()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

"""What applications are tested with: servers on free ports, pairs of sessions, and waiting for events without sleeping."""

import asyncio
import subprocess
import sys

import pytest
from pywebtransport import (
    ClientConfig,
    ConfigurationError,
    EventEmitter,
    EventType,
    RateLimiter,
    ServerApp,
    ServerConfig,
    TimeoutError,
    WebTransportSession,
)
from pywebtransport.testing import connected, expecting, recorded, serving


@pytest.fixture
def app() -> ServerApp:
    """An application whose certificate is where no test finds it."""
    app = ServerApp(ServerConfig(certfile="/nowhere/cert.pem", keyfile="/nowhere/key.pem", bind_port=443))

    @app.route("/shout/{word}")
    async def shout(session: WebTransportSession, word: str) -> None:
        async with await session.accept_bidirectional_stream() as stream:
            await stream.write_all((await stream.read_all()) + word.upper().encode())
        await session.wait_closed()

    return app


async def shouted(server, word):
    async with await server.connect(f"/shout/{word}") as session, await session.create_bidirectional_stream() as stream:
        await stream.write_all(b"hello ")
        return await stream.read_all()


async def test_an_application_is_served_as_often_as_asked(app, webtransport_serve):
    """Each server is a copy of the application, on a port of its own, and clients trust it."""
    first, second = await webtransport_serve(app), await webtransport_serve(app)
    assert first.url != second.url
    assert [await shouted(first, "you"), await shouted(second, "me")] == [b"hello YOU", b"hello ME"]
    assert not app.server.is_serving


async def test_hooks_and_middleware_come_with_the_copy(app):
    """What an application does at its start and end, and what sessions pass, is part of it."""
    told = []
    app.on_startup(lambda: told.append("start"))
    app.on_shutdown(lambda: told.append("end"))
    app.add_middleware(RateLimiter(max_requests=1))
    async with serving(app) as server:
        await shouted(server, "once")
        with pytest.raises(Exception, match="429"):
            await server.connect("/shout/twice")
    assert told == ["start", "end"]


async def test_what_is_added_to_a_copy_is_not_in_the_original(app):
    """An application and its copy have nothing in common but what they had when it was made."""
    copy = app.copy()
    copy.route("/more")(print)
    assert (len(app.router.get_all_routes()), len(copy.router.get_all_routes())) == (1, 2)
    assert copy.server.config is app.server.config


async def test_a_handler_is_an_application_for_all_paths():
    """One does not need an application to test a handler."""
    seen = []

    async def handler(session):
        seen.append(session.path)

    async with serving(handler) as server:
        for path in ("/a", "/b"):
            await (await server.connect(path)).wait_closed()
    assert seen == ["/a", "/b"]


async def test_fields_of_the_configuration_are_passed_on(app):
    """What the server of a test is to do otherwise, it does."""
    async with serving(app, max_streams_bidi=7) as server:
        assert server.app.server.config.max_streams_bidi == 7
    with pytest.raises(ConfigurationError, match="no field 'max_stream'"):
        async with serving(app, max_stream=7):
            pass


async def test_a_pair_of_sessions(webtransport_pair):
    """Both ends of one session, and streams of it."""
    ours, theirs = await webtransport_pair.bi()
    await ours.write_all(b"one")
    assert await theirs.read_all() == b"one"
    send, recv = await webtransport_pair.uni()
    await send.write_all(b"two")
    assert await recv.read_all() == b"two"


async def test_a_pair_with_configurations_and_a_path():
    """Configurations keep what they say, but trust and the address; options go to `connect`."""
    options = {"headers": {"x-test": "yes"}}
    async with connected("/a?b", client=ClientConfig(user_agent="me"), server=ServerConfig(bind_port=1), **options) as pair:
        assert (pair.server.path, pair.server.query) == ("/a", "b")
        assert (pair.server.headers["user-agent"], pair.server.headers["x-test"]) == ("me", "yes")


async def test_expecting_hears_what_the_body_makes_happen(webtransport_pair):
    """The listener is there before the cause, so that nothing is missed, and the end waits for the event."""
    async with expecting(webtransport_pair.server.events, EventType.SESSION_CLOSED) as closed:
        with pytest.raises(AttributeError):
            closed.event  # noqa: B018  # it raises
        await webtransport_pair.client.close(7, "bye")
    assert closed.data["close_code"] == 7


async def test_expecting_takes_the_first_event_that_fits():
    """A condition looks at each event, and later ones do not replace the first that fits."""
    emitter = EventEmitter()
    async with expecting(emitter, "tick", condition=lambda event: event.data > 1) as tick:
        for number in (1, 2, 3):
            emitter.emit_nowait("tick", data=number)
    assert tick.data == 2
    assert not emitter.wants("tick")


async def test_expecting_says_what_happened_instead():
    """Who waited in vain sees what there was."""
    emitter = EventEmitter()
    with pytest.raises(TimeoutError, match=r"no event tick within 0.01 s; what happened is: tock, tock"):
        async with expecting(emitter, "tick", timeout=0.01):
            emitter.emit_nowait("tock")
            emitter.emit_nowait("tock")
    assert not emitter.wants("tock")


async def test_expecting_leaves_the_errors_of_the_body_alone():
    """An error of the test is that of the test."""
    with pytest.raises(ZeroDivisionError):
        async with expecting(EventEmitter(), "tick", timeout=0):
            raise ZeroDivisionError


async def test_recorded_keeps_events_in_order():
    """Those that were asked for, while the body runs."""
    emitter = EventEmitter()
    with recorded(emitter, "a", "b") as record:
        for name in "abca":
            emitter.emit_nowait(name)
        assert [event.type for event in await record.reach(3)] == ["a", "b", "a"]
        asyncio.get_running_loop().call_soon(lambda: emitter.emit_nowait("b"))
        assert len(await record.reach(4)) == 4
        with pytest.raises(TimeoutError, match="4 events of 5 within 0.01 s: a, b, a, b"):
            await record.reach(5, timeout=0.01)
    assert not emitter.wants("a")


async def test_recorded_without_types_keeps_all():
    """Of what is told anyway."""
    emitter = EventEmitter()
    with recorded(emitter) as record:
        emitter.emit_nowait("a")
        emitter.emit_nowait("b")
    assert [event.type for event in record.events] == ["a", "b"]


USERS_TEST = """
from pywebtransport import WebTransportSession

async def echo(session: WebTransportSession) -> None:
    async for stream in session.incoming_bidirectional_streams():
        await stream.write_all(await stream.read_all())

{mark}
async def test_echo(webtransport_serve, webtransport_certificate):
    server = await webtransport_serve(echo)
    session = await server.connect()
    stream = await session.create_bidirectional_stream()
    await stream.write_all(b"hello")
    assert await stream.read_all() == b"hello"
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_users_get_the_fixtures_with_pytest(tmp_path, mode):
    """A project of its own, with pytest-asyncio in either mode, needs nothing but the installation."""
    mark = "import pytest\n@pytest.mark.asyncio" if mode == "strict" else ""
    (tmp_path / "test_mine.py").write_text(USERS_TEST.format(mark=mark))
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pywebtransport._pytest_plugin"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr

"""Testing applications: servers on free ports that clients trust, the two ends of a session, and waiting for events without sleeping.

These context managers work in every test framework. With pytest, fixtures of the same come by themselves: `webtransport_serve` and
`webtransport_pair`; they need pytest-asyncio or anyio, and ``webtransport_certificate`` needs neither.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .app import ServerApp
from .client import WebTransportClient
from .config import ClientConfig, ServerConfig
from .events import Event, EventEmitter
from .exceptions import TimeoutError as FrameworkTimeoutError
from .router import SessionHandler
from .server import WebTransportServer
from .session import WebTransportSession
from .stream import WebTransportReceiveStream, WebTransportSendStream, WebTransportStream
from .types import EventType
from .utils import certificate_hash, generate_self_signed_cert

__all__ = ["Expected", "Recorder", "Serving", "SessionPair", "connected", "expecting", "recorded", "serving"]

TIMEOUT = 10.0  # seconds for what takes milliseconds, unless something is wrong


@dataclass(frozen=True)
class Serving:
    """An application that serves, and a client that trusts it."""

    app: ServerApp
    """What serves: a copy of the application that `serving` was given."""
    client: WebTransportClient
    """A client that pins the server's certificate."""
    url: str
    """Where it serves: ``https://127.0.0.1:PORT``, without a path."""
    certificate_hash: bytes
    """The SHA-256 of its certificate, for other clients, browsers for example."""

    async def connect(self, path: str = "/", **options: Any) -> WebTransportSession:
        """Open a session, which is closed at the end of the test at the latest.

        Args:
            path: The path, with a query if there is one.
            options: As for `WebTransportClient.connect`, and it raises the same.
        """
        return await self.client.connect(self.url + path, **options)


@dataclass(frozen=True)
class SessionPair:
    """The two ends of one session."""

    client: WebTransportSession
    """The client's end."""
    server: WebTransportSession
    """The server's end."""
    connector: WebTransportClient
    """Whose session the client's is."""
    listener: WebTransportServer
    """Whose session the server's is."""

    async def bi(self) -> tuple[WebTransportStream, WebTransportStream]:
        """A bidirectional stream of the client: its end and the server's; SessionError if the session is over."""
        return await self.client.create_bidirectional_stream(), await self.server.accept_bidirectional_stream()

    async def uni(self) -> tuple[WebTransportSendStream, WebTransportReceiveStream]:
        """A unidirectional stream of the client: its end and the server's; SessionError if the session is over."""
        return await self.client.create_unidirectional_stream(), await self.server.accept_unidirectional_stream()


@asynccontextmanager
async def serving(app: ServerApp | SessionHandler, **fields: Any) -> AsyncIterator[Serving]:
    """Serve a copy of an application on a free port of 127.0.0.1, with a certificate of its own, until the context is left.

    The application's own files and addresses are not touched, so that tests can share one, and begin it anew each time.

    Args:
        app: The application; or a handler, for all paths.
        fields: Fields of `ServerConfig` to have other values than in the application.
    Raises:
        ConfigurationError: There is no such field, or a value is not allowed.
    """
    if not isinstance(app, ServerApp):
        handler, app = app, ServerApp()
        app.router.set_default_handler(handler)
    with _certificate() as (certfile, keyfile):
        ours = {"certfile": certfile, "keyfile": keyfile, "bind_host": "127.0.0.1", "bind_port": 0, "close_timeout": 0.5}
        pin = certificate_hash(certfile)
        async with (
            app.copy(app.server.config.update(**{**ours, **fields})) as copy,
            WebTransportClient(ClientConfig(server_certificate_hashes=[pin])) as client,
        ):
            await copy.server.listen()
            work = asyncio.create_task(copy.serve())
            try:
                yield Serving(copy, client, f"https://127.0.0.1:{copy.server.local_addresses[0][1]}", pin)
            finally:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work


@asynccontextmanager
async def connected(
    path: str = "/", *, client: ClientConfig | None = None, server: ServerConfig | None = None, **options: Any
) -> AsyncIterator[SessionPair]:
    """Connect a client to a server over loopback, and give both ends of the session; leaving the context closes both.

    Args:
        path: What the client asks for.
        client: The client's configuration, but that it trusts the server.
        server: The server's configuration, but for its certificate, address and port.
        options: As for `WebTransportClient.connect`.
    Raises:
        TimeoutError: There was no session within 10 seconds.
    """
    with _certificate() as (certfile, keyfile):
        listens = (server or ServerConfig(close_timeout=0.5)).update(certfile=certfile, keyfile=keyfile, bind_host="127.0.0.1", bind_port=0)
        pins = (client or ClientConfig()).update(server_certificate_hashes=[certificate_hash(certfile)])
        async with WebTransportServer(listens) as listener, WebTransportClient(pins) as connector:
            await listener.listen()
            url = f"https://127.0.0.1:{listener.local_addresses[0][1]}{path}"
            async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as tasks:
                connecting = tasks.create_task(connector.connect(url, **options))
                session = await _requested(listener)
                await session.accept()
            yield SessionPair(connecting.result(), session, connector, listener)


class Expected:
    """What `expecting` gives: it has the event once the context is left."""

    def __init__(self) -> None:
        self._event: Event | None = None

    @property
    def event(self) -> Event:
        """The event that came; AttributeError inside the context, where it need not have come yet."""
        if self._event is None:
            raise AttributeError("the event is there when the context of expecting() is left")
        return self._event

    @property
    def data(self) -> Any:
        """What the event brought with it."""
        return self.event.data


@asynccontextmanager
async def expecting(
    emitter: EventEmitter,
    event_type: EventType | str,
    *,
    condition: Callable[[Event], bool] | None = None,
    timeout: float = TIMEOUT,
) -> AsyncIterator[Expected]:
    """Listen while the body runs, which makes something happen, and wait at its end until that was told.

    Args:
        emitter: The events of a session, a stream, a connection, a client or a server.
        event_type: What should happen.
        condition: What else must be true of it.
        timeout: Seconds to wait after the body.
    Raises:
        TimeoutError: It did not happen; the text says what did.
    """
    expected = Expected()
    came = asyncio.Event()
    others: list[str] = []

    def look(event: Event) -> None:
        if condition is None or condition(event):
            expected._event = expected._event or event
            came.set()

    def note(event: Event) -> None:
        others.append(str(event.type))

    emitter.on(event_type, look)
    emitter.on_any(note)
    try:
        yield expected
        async with asyncio.timeout(timeout):
            await came.wait()
    except TimeoutError as error:
        if came.is_set():  # the body's own
            raise
        seen = ", ".join(others) or "nothing"
        raise FrameworkTimeoutError(f"no event {event_type} within {timeout} s; what happened is: {seen}") from error
    finally:
        emitter.off(event_type, look)
        emitter.off_any(note)


class Recorder:
    """What `recorded` gives: the events that happened, and waiting for more of them."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._more = asyncio.Event()

    @property
    def events(self) -> list[Event]:
        """Those that were told so far, in their order."""
        return self._events

    async def reach(self, count: int, timeout: float = TIMEOUT) -> list[Event]:
        """Wait until so many events were told, and return them all.

        Args:
            count: How many.
            timeout: Seconds to wait.
        Raises:
            TimeoutError: There were fewer; the text says which.
        """
        try:
            async with asyncio.timeout(timeout):
                while len(self._events) < count:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError as error:
            seen = ", ".join(str(event.type) for event in self.events) or "nothing"
            raise FrameworkTimeoutError(f"{len(self.events)} events of {count} within {timeout} s: {seen}") from error
        return self.events

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self._events.append(event)
        self._more.set()


@contextmanager
def recorded(emitter: EventEmitter, *event_types: EventType | str) -> Iterator[Recorder]:
    """Keep the events of some types that happen in the body, in their order.

    Args:
        emitter: The events of a session, a stream, a connection, a client or a server.
        event_types: Which; none: all that are told anyway.
    """
    recorder = Recorder()
    for event_type in event_types:
        emitter.on(event_type, recorder)
    if not event_types:
        emitter.on_any(recorder)
    try:
        yield recorder
    finally:
        for event_type in event_types:
            emitter.off(event_type, recorder)
        emitter.off_any(recorder)


@contextmanager
def _certificate() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory(prefix="webtransport-") as directory:
        yield generate_self_signed_cert("localhost", directory)


async def _requested(server: WebTransportServer) -> WebTransportSession:
    """The next session that somebody asks for."""
    async for connection in server.incoming_connections():
        async for session in connection.incoming_sessions():
            return session
    raise AssertionError("the server was closed")

"""Applications: sessions pass middleware, and go to the handler of their path."""

import asyncio
import functools
import inspect
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from web_transport import StreamClosedLocally

from ._arguments import check_callable
from ._dev import DevSite
from .config import ServerConfig
from .constants import ErrorCodes
from .exceptions import ConnectionError as FrameworkConnectionError
from .exceptions import ServerError, SessionError, StreamError
from .middleware import Middleware, MiddlewareManager, MiddlewareRejected
from .router import RequestRouter, RouteMatch, SessionHandler, check_path
from .server import HttpHandler, WebTransportServer
from .session import WebTransportSession

__all__ = ["ServerApp"]

logger = logging.getLogger(__name__)

Hook: TypeAlias = Callable[[], Awaitable[None] | None]
_Handler = TypeVar("_Handler", bound=SessionHandler)
_Middleware = TypeVar("_Middleware", bound=Middleware)
_Hook = TypeVar("_Hook", bound=Hook)


class ServerApp:
    """A server whose sessions go to handlers, by their paths: ``async with`` starts it, and leaving that shuts it down.

    A session passes the middleware, is accepted, and is closed when its handler has returned. A handler that raises is logged, and the
    client learns `ErrorCodes.APP_GENERIC_ERROR`; what a client brings about by leaving or by giving up a stream is logged as no error, in
    a line. An application starts once.

    Args:
        config: What its server does, and its certificate.
        http_handler: As for `WebTransportServer`.
    """

    def __init__(self, config: ServerConfig | None = None, *, http_handler: HttpHandler | None = None) -> None:
        self._server = WebTransportServer(config, http_handler=http_handler)
        self._router = RequestRouter()
        self._middleware = MiddlewareManager()
        self._on_startup: list[Hook] = []
        self._on_shutdown: list[Hook] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = False
        self._ended = False

    @property
    def server(self) -> WebTransportServer:
        """What listens."""
        return self._server

    @property
    def router(self) -> RequestRouter:
        """What finds the handlers."""
        return self._router

    @property
    def middleware_manager(self) -> MiddlewareManager:
        """What sessions pass before they are accepted."""
        return self._middleware

    def copy(self, config: ServerConfig | None = None) -> "ServerApp":
        """An application that does the same and has not started: with the same handlers, middleware and hooks.

        What is added to one of them later, the other does not have.

        Args:
            config: What its server does; None: the same as this one's.
        """
        app = type(self)(config or self._server.config)
        app._router = self._router.copy()
        app._middleware = self._middleware.copy()
        app._on_startup, app._on_shutdown = list(self._on_startup), list(self._on_shutdown)
        return app

    # What there is to do

    def route(self, path: str, *, protocols: Sequence[str] | None = None) -> Callable[[_Handler], _Handler]:
        """Decorate the handler of a path.

        Args:
            path: As in ``"/chat"``, or with parameters, as in ``"/chat/{room}"``.
            protocols: The application protocols that the handler speaks: of those that the client offers, the first one that is here
                is agreed upon (WT §3.3). If there is none, the handler is called all the same: `WebTransportSession.wt_protocol` tells.
        Raises:
            TypeError: The path is not a str, as where the parentheses were forgotten.
            ValueError: The path cannot be one, or has a handler already.
        """
        check_path("path", path)

        def decorate(handler: _Handler) -> _Handler:
            self._router.add_route(path, handler, protocols=protocols)
            return handler

        return decorate

    def pattern_route(self, pattern: str, *, protocols: Sequence[str] | None = None) -> Callable[[_Handler], _Handler]:
        """Decorate the handler of all paths that match a regular expression as a whole; named groups become its arguments.

        Args:
            pattern: The regular expression.
            protocols: As for `route`.
        Raises:
            TypeError: The pattern is not a str, as where the parentheses were forgotten.
            ValueError: The pattern is not a regular expression, or has a handler already.
        """
        check_path("pattern", pattern)

        def decorate(handler: _Handler) -> _Handler:
            self._router.add_pattern_route(pattern, handler, protocols=protocols)
            return handler

        return decorate

    def middleware(self, middleware: _Middleware) -> _Middleware:
        """Decorate what sessions are to pass, after what they pass already."""
        self.add_middleware(middleware)
        return middleware

    def add_middleware(self, middleware: Middleware) -> None:
        """Have sessions pass this too, last."""
        self._middleware.add_middleware(middleware)

    def on_startup(self, handler: _Hook) -> _Hook:
        """Decorate a function, or a coroutine function, to call when the application starts; if it raises, that fails."""
        check_callable("what is called at the start", handler)
        self._on_startup.append(handler)
        return handler

    def on_shutdown(self, handler: _Hook) -> _Hook:
        """Decorate a function, or a coroutine function, to call when the last session is over; if it raises, that is logged."""
        check_callable("what is called at the end", handler)
        self._on_shutdown.append(handler)
        return handler

    # From start to end

    def run(self, host: str | None = None, port: int | None = None, *, dev: "bool | str | os.PathLike[str]" = False) -> None:
        """Serve until SIGINT or SIGTERM: then clients are asked to end, get `ServerConfig.close_timeout` for it, and it returns.

        A second signal cuts that short. This starts an event loop of its own; inside one, use `serve`.

        Args:
            host: An address or a name; None: `ServerConfig.bind_host`.
            port: A UDP port; None: `ServerConfig.bind_port`.
            dev: For development on this machine: a certificate is made that browsers accept by its hash, and renewed in time; a local
                HTTP server has a page to try the server with, in which the hash is; and what to open is printed. The path of an HTML
                file is a page of your own: ``{{webtransport}}`` in it becomes an object with the server's ``url``, and with ``options``
                for the browser's ``WebTransport``.
        Raises:
            ServerError: It is called in an event loop, the address cannot be had, or, for development, is that of one interface which is
                not the loopback.
            ConfigurationError: The certificate or its key cannot be used.
            OSError: The page cannot be read.
        """
        if _in_event_loop():
            raise ServerError("run() starts an event loop of its own, and one runs here already: await serve() instead")
        serve = self.serve if dev is False else functools.partial(self._develop, page=None if dev is True else dev)
        with suppress(KeyboardInterrupt):  # where a loop takes no signals, on Windows, this is what SIGINT becomes
            asyncio.run(self._run(serve(host, port)))

    async def serve(self, host: str | None = None, port: int | None = None) -> None:
        """Listen, unless `server` does already, and serve until the server is closed.

        If the application was not started, this starts it, and shuts it down at the end, also when it is cancelled.

        Args:
            host: An address or a name; None: `ServerConfig.bind_host`.
            port: A UDP port; None: `ServerConfig.bind_port`.
        Raises:
            ServerError: The address cannot be had, or the application has ended.
            ConfigurationError: The certificate or its key cannot be used.
        """
        async with AsyncExitStack() as stack:
            if not self._started:
                await stack.enter_async_context(self)
            if not self._server.is_serving:
                await self._server.listen(host, port)
            async for session in self._server.incoming_sessions():
                self._go_on(self._serve_session(session))

    async def startup(self) -> None:
        """Enter the middleware that asks for it, and call what `on_startup` decorates.

        Raises:
            ServerError: The application was started before.
        """
        if self._started:
            raise ServerError("the application was started before: make another one")
        self._started = True
        await self._middleware.__aenter__()
        try:
            for hook in self._on_startup:
                await _called(hook)
        except BaseException:
            await self._middleware.__aexit__(None, None, None)
            raise

    async def shutdown(self) -> None:
        """Close the server, cancel the handlers that still run, call what `on_shutdown` decorates, and leave the middleware; idempotent.

        Cancelled, it closes the server at once, and does all the rest. It never raises: what hooks raise is logged.
        """
        if self._ended:
            return
        self._ended = True
        try:
            await self._server.close()
        finally:
            await self._cancel_handlers()
            for hook in self._on_shutdown:
                try:
                    await _called(hook)
                except Exception:
                    logger.exception("a handler of the shutdown raised: %r", hook)
            await self._middleware.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        await self.startup()
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.shutdown()

    async def _run(self, serving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(serving)
        with _signals(task.cancel), suppress(asyncio.CancelledError):
            await task

    async def _develop(self, host: str | None, port: int | None, *, page: "str | os.PathLike[str] | None") -> None:
        wanted = self._server.config.bind_port if port is None else port
        paths = [path for path in self._router.get_all_routes() if path.startswith("/")]
        async with self, DevSite(self._server, page, port=wanted, paths=paths) as site:
            await self._server.listen(host, port)
            print(site.announcement(), flush=True)
            await self.serve()

    # Sessions

    async def _serve_session(self, session: WebTransportSession) -> None:
        try:
            match = await self._admitted(session)
            if match is None:
                return
            protocol = next((offered for offered in session.wt_available_protocols if offered in match.protocols), None)
            await session.accept(wt_protocol=protocol)
        except (SessionError, FrameworkConnectionError) as error:
            logger.info("a client that asked for a session of %s has gone: %s", session.path, error)
            return
        except asyncio.CancelledError:  # the server shuts down, or middleware waited for what somebody cancelled
            with suppress(SessionError, FrameworkConnectionError):
                await session.reject(503)
            raise
        code, reason = ErrorCodes.APP_NO_ERROR, ""
        try:
            running = match.handler(session, **match.params)
            if not inspect.isawaitable(running):
                raise TypeError(f"the handler of a route must be a coroutine function: {match.handler!r}")
            await running
        except asyncio.CancelledError:
            code, reason = ErrorCodes.APP_SERVICE_UNAVAILABLE, "the server shuts down"
            raise
        except Exception as error:
            code, reason = ErrorCodes.APP_GENERIC_ERROR, "the handler failed"
            if _is_the_clients(error, session):
                level = logging.INFO if session.is_closed else logging.WARNING
                logger.log(level, "the client of %s ended its handler: %s", session.path, error)
            else:
                logger.exception("the handler of %s raised", session.path)
        finally:
            await session.close(code, reason)

    async def _admitted(self, session: WebTransportSession) -> RouteMatch | None:
        """Where a session goes that passes all middleware; None, and it is rejected, if one of them or the router turns it away."""
        try:
            await self._middleware.process_request(session)
        except MiddlewareRejected as rejected:
            try:
                await session.reject(rejected.status_code, headers=rejected.headers)
            except ValueError:
                logger.exception("middleware rejected a session of %s with what cannot be sent", session.path)
                await session.reject(500)
            return None
        match = self._router.route_request(session)
        if match is None:
            await session.reject(_no_route(session.diagnostics().dialect))
        return match

    def _go_on(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cancel_handlers(self) -> None:
        running = self._tasks - {asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            _, stuck = await asyncio.wait(running, timeout=self._server.config.close_timeout)
            for task in stuck:
                logger.warning("a handler goes on although it was cancelled: %r", task)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _no_route(dialect: str | None) -> int:
    """The status for a path that nobody serves: drafts up to 15 ask for 404, and those since for 405 (WT §3.2)."""
    return 405 if dialect is not None and int(dialect.removeprefix("draft-")) > 15 else 404


def _is_the_clients(error: Exception, session: WebTransportSession) -> bool:
    """Whether an error only says that the client has gone, or gave up a stream; where tasks worked together, whether all of theirs do."""
    if isinstance(error, ExceptionGroup):
        return all(_is_the_clients(each, session) for each in error.exceptions)
    if isinstance(error, StreamError):
        return not isinstance(error.__cause__, StreamClosedLocally)
    return session.is_closed and isinstance(error, (SessionError, FrameworkConnectionError))


async def _called(hook: Hook) -> None:
    waiting = hook()
    if inspect.isawaitable(waiting):
        await waiting


@contextmanager
def _signals(stop: Callable[[], object]) -> Iterator[None]:
    """Stop on SIGINT and SIGTERM, where the event loop takes signals."""
    loop = asyncio.get_running_loop()
    taken = []
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not in the main thread
                loop.add_signal_handler(number, stop)
                taken.append(number)
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)

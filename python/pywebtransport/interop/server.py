"""The interop server: what others test their clients against.

- ``/echo``: what comes goes back: bytes on a bidirectional stream as they come, a unidirectional stream on a new one, datagrams unchanged.
- ``/stats``, ``/status``: each bidirectional stream is read to its end, and answered with the figures of the session, or of the
  server, as one JSON object.
- ``/webtransport/devious-baton``: a game of `Game`.
- ``GET /status.json``, a plain HTTP/3 request: the version.
"""

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from importlib.metadata import version
from typing import Any

from web_transport import HttpRequest, HttpResponse

from pywebtransport.app import ServerApp
from pywebtransport.config import ServerConfig
from pywebtransport.exceptions import ConnectionError as FrameworkConnectionError
from pywebtransport.exceptions import DatagramError, SessionError, StreamError
from pywebtransport.middleware import MiddlewareRejected
from pywebtransport.session import WebTransportSession
from pywebtransport.stream import WebTransportReceiveStream, WebTransportStream
from pywebtransport.types import SessionProtocol

from . import baton
from .game import Game

__all__ = ["create_app", "echo", "to_json"]


def create_app(config: ServerConfig, *, game: type[Game] = Game) -> ServerApp:
    """Make the interop server; `ServerApp.run` runs it.

    Args:
        config: Its certificate, and where it listens.
        game: What plays Devious Baton.
    """
    app = ServerApp(config, http_handler=_status_page)

    @app.middleware
    async def check_terms(session: SessionProtocol) -> None:
        if session.path == baton.PATH:
            try:
                baton.Terms.parse(session.query)
            except ValueError as error:
                raise MiddlewareRejected(400) from error

    @app.route("/echo")
    async def serve_echo(session: WebTransportSession) -> None:
        await echo(session)

    @app.route("/stats")
    async def serve_stats(session: WebTransportSession) -> None:
        await _tell(session, session.diagnostics)

    @app.route("/status")
    async def serve_status(session: WebTransportSession) -> None:
        await _tell(session, app.server.diagnostics)

    @app.route(baton.PATH)
    async def serve_baton(session: WebTransportSession) -> None:
        await game(session, baton.Terms.parse(session.query), strict=True).play()

    return app


async def echo(session: WebTransportSession) -> None:
    """Send back what comes, until the session is over, which raises nothing."""
    with suppress(SessionError, FrameworkConnectionError):
        async with asyncio.TaskGroup() as tasks:
            datagrams = tasks.create_task(_echo_datagrams(session))
            async for stream in session.incoming_streams():
                tasks.create_task(_echo_stream(session, stream))
            datagrams.cancel()


def to_json(value: Any) -> bytes:
    """Diagnostics as one JSON object: bytes as base64, enumerations by value, collections as arrays."""

    def plain(value: Any) -> Any:
        match value:
            case Enum():
                return value.value
            case bytes() | bytearray() | memoryview():
                return base64.b64encode(value).decode()
        return list(value)

    return json.dumps(value, default=plain).encode()


async def _echo_stream(session: WebTransportSession, stream: WebTransportStream | WebTransportReceiveStream) -> None:
    with suppress(SessionError, FrameworkConnectionError):
        answer = stream if isinstance(stream, WebTransportStream) else await session.create_unidirectional_stream()
        try:
            async for chunk in stream:
                await answer.write(chunk)
            await answer.close()
        except StreamError as error:  # the peer abandons one direction, so the other has no use either
            code = error.error_code or 0
            for end in (answer.reset, stream.stop_receiving):
                with suppress(StreamError):
                    await end(code)


async def _echo_datagrams(session: WebTransportSession) -> None:
    with suppress(SessionError, FrameworkConnectionError):
        while True:
            data = await session.read_datagram()
            with suppress(DatagramError):  # longer than what can go the other way
                await session.send_datagram(data)


async def _tell(session: WebTransportSession, diagnostics: Callable[[], Any]) -> None:
    async def answer(stream: WebTransportStream) -> None:
        with suppress(SessionError, StreamError, FrameworkConnectionError):
            async for _ in stream:
                pass
            await stream.write_all(to_json(diagnostics().to_dict()))

    async with asyncio.TaskGroup() as tasks:
        async for stream in session.incoming_bidirectional_streams():
            tasks.create_task(answer(stream))


def _status_page(request: HttpRequest) -> HttpResponse:
    if request.path != "/status.json" or request.method not in ("GET", "HEAD"):
        return HttpResponse(404)
    body = to_json({"version": version("webtransport-python")})
    return HttpResponse(200, {"content-type": "application/json"}, body)

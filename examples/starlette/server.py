"""A web framework's page and a WebTransport server in one process and one event loop: Starlette answers HTTP, we tell what happens.

FastAPI is a Starlette, so that the same works there: only the routes look different.
"""

import argparse
import asyncio
import contextlib
import json
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from pywebtransport import ConnectionError, ServerApp, ServerConfig, SessionError, StreamError, WebTransportSession
from pywebtransport.utils import certificate_hash, generate_self_signed_cert
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

HERE = Path(__file__).parent


class Presses:
    """How often the button was pressed, and who wants to know."""

    def __init__(self) -> None:
        self.count = 0
        self._listeners: set[WebTransportSession] = set()

    async def press(self, who: str) -> None:
        """Count, and tell everybody who listens, on a stream each."""
        self.count += 1
        news = json.dumps({"count": self.count, "who": who}).encode()
        await asyncio.gather(*(self._tell(session, news) for session in self._listeners))

    async def listen(self, session: WebTransportSession) -> None:
        """Tell a session until it is over."""
        self._listeners.add(session)
        try:
            await session.wait_closed()
        finally:
            self._listeners.discard(session)

    @staticmethod
    async def _tell(session: WebTransportSession, news: bytes) -> None:
        with contextlib.suppress(SessionError, ConnectionError, StreamError, TimeoutError):  # it has left, or wants no news
            async with await session.create_unidirectional_stream() as stream:
                await stream.write_all(news)


def make_web(presses: Presses, start: dict[str, str]) -> Starlette:
    """The HTTP side: a page, what it needs to begin, and a button."""

    async def page(request: Request) -> Response:
        return FileResponse(HERE / "index.html")

    async def begin(request: Request) -> Response:
        return JSONResponse({**start, "count": presses.count})

    async def press(request: Request) -> Response:
        await presses.press(request.headers.get("user-agent", "somebody"))
        return Response(status_code=204)

    return Starlette(routes=[Route("/", page), Route("/api/start", begin), Route("/api/press", press, methods=["POST"])])


async def main() -> None:
    """Serve both until interrupted."""
    parser = argparse.ArgumentParser(description="A page of Starlette next to a WebTransport server.")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=8000, help="the TCP port of the page (default: %(default)s)")
    options = parser.parse_args()
    presses = Presses()
    with TemporaryDirectory() as directory:
        certfile, keyfile = generate_self_signed_cert("localhost", directory)
        app = ServerApp(ServerConfig(certfile=certfile, keyfile=keyfile, bind_host="127.0.0.1", bind_port=options.port))
        app.route("/presses")(presses.listen)
        async with app:
            await app.server.listen()
            url = f"https://127.0.0.1:{app.server.local_addresses[0][1]}/presses"
            pin = certificate_hash(certfile).hex()
            web = make_web(presses, {"url": url, "hash": pin})
            listening = socket.create_server(("127.0.0.1", options.http_port))
            print(f"url: {url}\nhash: {pin}\npage: http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
            serving = asyncio.create_task(app.serve())
            await uvicorn.Server(uvicorn.Config(web, log_level="warning")).serve(sockets=[listening])  # until SIGINT or SIGTERM
            serving.cancel()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

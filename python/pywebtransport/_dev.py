"""What `ServerApp.run` adds for development: a certificate that browsers take, and a page that knows its hash."""

import asyncio
import ipaddress
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from .exceptions import ServerError
from .server import WebTransportServer
from .utils import certificate_hash, generate_self_signed_cert

_DAY = 24 * 60 * 60  # seconds
_VALID = 13  # days; browsers take the hash of a certificate that is valid for 14 at most
_RENEWED = 10  # days after which there is a new one
_LOOK = 60 * 60  # seconds: a computer that slept does not wake up with a certificate that is over
_PATIENCE = 10  # seconds that a browser may take to ask


class DevSite:
    """A local site with one page, and the certificate of a server that the page connects to, both while ``async with`` lasts.

    In the page ``{{webtransport}}`` becomes an object of JavaScript: the server's ``url``, the ``paths`` of its routes, the ``hash``
    of its certificate, and ``options`` for the browser's ``WebTransport``, in which that is.

    Args:
        server: Listens inside ``async with``, not before.
        page: An HTML file, read whenever a browser asks; None: one that tries out what the server does.
        port: The TCP port to take if it is free: the server's, so that there is one number to remember.
        paths: The paths of the server's routes.
        clock: What tells the time of day, in seconds.
        sleep: What waits for some seconds.
    """

    def __init__(
        self,
        server: WebTransportServer,
        page: "str | os.PathLike[str] | None" = None,
        *,
        port: int = 0,
        paths: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._server = server
        self._page = files(__package__).joinpath("dev.html") if page is None else Path(page)
        self._port = port
        self._paths = list(paths)
        self._clock, self._sleep = clock, sleep
        self._url, self._hash = "", b""

    @property
    def url(self) -> str:
        """What to open in a browser on this machine; "" before ``async with``."""
        return self._url

    @property
    def server_url(self) -> str:
        """What the page connects to."""
        host, port = self._server.local_addresses[0]
        address = ipaddress.ip_address(host)
        if address.is_unspecified:  # "::" takes IPv4 too
            return f"https://127.0.0.1:{port}"
        return f"https://[{address}]:{port}" if address.version == 6 else f"https://{address}:{port}"

    def announcement(self) -> str:
        """What to tell the developer once the server listens; ServerError: its address is one that the page may not connect to."""
        address = ipaddress.ip_address(self._server.local_addresses[0][0])
        if not (address.is_loopback or address.is_unspecified):  # the page comes from another host then
            raise ServerError(f"cannot develop on {address}: the page needs a server on all interfaces, or on 127.0.0.1 or ::1")
        return f"open {self.url}/\nserving {self.server_url}\ncertificate hash {self._hash.hex()}"

    async def __aenter__(self) -> Self:
        self._page.read_bytes()  # a file that cannot be read is an error now
        try:
            self._http = await asyncio.start_server(self._answer, "127.0.0.1", self._port)
        except OSError:
            self._http = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._url = f"http://127.0.0.1:{self._http.sockets[0].getsockname()[1]}"
        self._directory = TemporaryDirectory(prefix="pywebtransport-")
        self._server.allow_origin(self.url)
        self._renew()
        self._renewing = asyncio.get_running_loop().create_task(keep_valid(self._renew, self._clock, self._sleep))
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        self._renewing.cancel()
        self._http.close()
        self._directory.cleanup()

    def _renew(self) -> None:
        certfile, keyfile = generate_self_signed_cert("localhost", self._directory.name, _VALID)
        self._server.use_certificate(certfile, keyfile)
        self._hash = certificate_hash(certfile)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                found = re.match(rb"GET /(\?\S*)? HTTP/1\.", head) is not None
                body = self._filled_in() if found else b"there is one page, at /\n"
                kind = "html" if found else "plain"
                writer.write(
                    f"HTTP/1.1 {'200 OK' if found else '404 Not Found'}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
                    f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ServerError):
            pass  # a browser that connects ahead of need, or leaves; a page that was deleted; TimeoutError is an OSError
        finally:
            writer.close()

    def _filled_in(self) -> bytes:
        about = {"url": self.server_url, "paths": self._paths, "hash": self._hash.hex()}
        pins = f"[{{algorithm: 'sha-256', value: new Uint8Array({list(self._hash)})}}]"
        script = json.dumps(about).replace("<", "\\u003c")[:-1] + f', "options": {{serverCertificateHashes: {pins}}}}}'
        return self._page.read_bytes().replace(b"{{webtransport}}", script.encode())


async def keep_valid(
    renew: Callable[[], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Renew a certificate that is new, in time and again and again; cancel it to end that, which is the only way.

    Args:
        renew: What makes another one.
        clock: What tells the time of day, in seconds.
        sleep: What waits for some seconds.
    """
    made = clock()
    while True:
        await sleep(_LOOK)
        if clock() - made >= _RENEWED * _DAY:
            renew()
            made = clock()

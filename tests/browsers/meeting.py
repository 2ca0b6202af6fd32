"""A page in a browser and a server of ours, brought together: what the browser tests share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from web_transport import Server, Session

from tests.browsers.browser import Page

T = TypeVar("T")

# What every page of the tests can use. Browsers differ in, and the specification has changed, how an error and a
# datagram writer are made.
_PAGE = """<!doctype html><title>test</title><script>
function streamError(streamErrorCode) {
    try { return new WebTransportError("", {streamErrorCode}); } catch { return new WebTransportError({streamErrorCode}); }
}
function datagramWriter(transport) {
    return (transport.datagrams.createWritable?.() ?? transport.datagrams.writable).getWriter();
}
async function send(writable, data) {
    const writer = writable.getWriter();
    await writer.write(typeof data === "string" ? new TextEncoder().encode(data) : data);
    await writer.close();
}
async function receive(readable) { return new Uint8Array(await new Response(readable).arrayBuffer()); }
async function receiveText(readable) { return new TextDecoder().decode(await receive(readable)); }
async function first(streams) {
    const reader = streams.getReader();
    const {value} = await reader.read();
    reader.releaseLock();
    return value;
}
</script>"""

_VISIT = """(url, hash, ...parameters) => {
    const serverCertificateHashes = [{algorithm: "sha-256", value: Uint8Array.from(hash)}];
    async function connect(path = "/", options = {}) {
        const transport = new WebTransport(url + path, {serverCertificateHashes, ...options});
        await transport.ready;
        return transport;
    }
    return (%s)(connect, ...parameters);
}"""


@asynccontextmanager
async def serve_page() -> AsyncIterator[str]:
    """Serve the page of the tests over HTTP, at every path of the address that this yields."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = _PAGE.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as http:
        yield f"http://127.0.0.1:{http.sockets[0].getsockname()[1]}"


async def visit(page: Page, origin: str, certificate_hash: bytes, function: str, *parameters: object) -> Any:
    """Run *function* in a page, with *parameters* after ``connect``, which opens a session: of a path at *origin*, and options."""
    return await page.evaluate(_VISIT % function, origin, list(certificate_hash), *parameters)


class Meeting:
    """A fresh page and a fresh server, which the page has the certificate hash of."""

    def __init__(self, page: Page, server: Server, certificate_hash: bytes) -> None:
        self.page, self.server = page, server
        self.certificate_hash = certificate_hash.hex()
        self._address = f"https://127.0.0.1:{server.local_addr[1]}", certificate_hash

    async def visit(self, function: str, *parameters: object) -> Any:
        """Run *function* in the page, with *parameters* after ``connect``, which opens a session: of the server's path, and options."""
        return await visit(self.page, *self._address, function, *parameters)

    async def session(self) -> Session:
        """The next session that the page asks for."""
        request = await self.server.accept()
        assert request is not None
        return await request.accept()

    async def __call__(self, function: str, serve: Callable[[Session], Awaitable[T]], *parameters: object) -> tuple[Any, T]:
        """Run *function* in the page and *serve* on its session, and return what each of them returned."""
        async with asyncio.TaskGroup() as group:
            visiting = group.create_task(self.visit(function, *parameters))
            session = await self.session()
            served = await serve(session)
            visited = await visiting
            session.close()
        return visited, served

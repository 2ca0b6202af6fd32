"""Plain HTTP/3 requests, asked by an independent client: who answers them, with what, and within which bounds."""

import asyncio
import gc
import logging
import ssl
from contextlib import asynccontextmanager

import pytest
import web_transport
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from web_transport import HttpRequest, HttpResponse


class Browser(QuicConnectionProtocol):
    """Asks, and collects the answer."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.http = H3Connection(self._quic)
        self.answers = {}

    def quic_event_received(self, event):
        for happened in self.http.handle_event(event):
            headers, body, done = self.answers[happened.stream_id]
            if isinstance(happened, HeadersReceived):
                headers.update({name.decode(): value.decode() for name, value in happened.headers})
            elif isinstance(happened, DataReceived):
                body.extend(happened.data)
            if happened.stream_ended:
                done.set()

    async def ask(self, method="GET", path="/", body=b"", **headers):
        """Status, headers and body of the answer."""
        stream = self._quic.get_next_available_stream_id()
        answer = self.answers[stream] = ({}, bytearray(), asyncio.Event())
        fields = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path, **headers}
        self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in fields.items()], end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await answer[2].wait()
        return int(answer[0][":status"]), answer[0], bytes(answer[1])


@pytest.fixture
def browse():
    """Connects a client of plain HTTP/3 to a server."""

    @asynccontextmanager
    async def browse(server):
        configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, verify_mode=ssl.CERT_NONE)
        host, port = server.local_addr
        async with connect(host, port, configuration=configuration, create_protocol=Browser) as browser:
            yield browser

    return browse


async def test_without_a_handler_nothing_is_found(server, browse):
    """A person who opens the address in a browser reads what it is."""
    async with browse(server) as browser:
        status, headers, body = await browser.ask()
        assert (status, headers["content-type"]) == (404, "text/plain; charset=utf-8")
        assert b"WebTransport" in body


async def test_a_handler_answers(make_server, browse):
    """It sees what was asked, and its answer arrives as it is."""
    seen = []

    async def handler(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        await asyncio.sleep(0)
        return HttpResponse(201, {"Content-Type": "application/json", "x-utf8": "\u00e9"}, b'{"ok": true}')

    async with make_server(http_handler=handler) as server, browse(server) as browser:
        status, headers, body = await browser.ask("GET", "/status.json?full", accept="*/*")
        assert (status, headers["content-type"], body) == (201, "application/json", b'{"ok": true}')
        assert headers["content-length"] == "12"
        assert headers["x-utf8"] == "\u00e9"
        (request,) = seen
        assert (request.method, request.authority, request.path, request.query) == ("GET", "localhost", "/status.json", "full")
        assert request.headers.get("Accept") == "*/*"
        assert request.remote_address[0] == "127.0.0.1"


async def test_a_handler_may_be_a_plain_function(make_server, browse):
    """What takes no time need not be a coroutine; a HEAD gets no body, and a POST's is not read."""
    async with make_server(http_handler=lambda request: HttpResponse(body=request.method.encode())) as server, browse(server) as browser:
        assert (await browser.ask("GET"))[2] == b"GET"
        assert (await browser.ask("POST", body=b"x" * 50_000))[2] == b"POST"
        status, _, body = await browser.ask("HEAD")
        assert (status, body) == (200, b"")


async def test_sessions_and_plain_requests_go_together(make_server, browse, client, connect):
    """One does not wait for the other: the handler works while the application awaits something else."""
    server = make_server(http_handler=lambda request: HttpResponse(body=b"fine"))
    pair = await connect(client, server)
    async with browse(server) as browser:
        assert (await browser.ask())[2] == b"fine"
        send, recv = await pair.uni()
        async with send:
            await send.write(b"hello")
        assert await recv.read() == b"hello"


@pytest.mark.parametrize(
    "response",
    [None, HttpResponse(99), HttpResponse(headers={"connection": "close"}), HttpResponse(body="text"), ValueError("oh")],  # type: ignore[arg-type]
)
async def test_a_handlers_mistake_is_logged(make_server, browse, caplog, response):
    """Whoever asks sees a 500, whoever runs the server sees why, and the next request finds a server."""

    def handler(request):
        if request.path == "/good":
            return HttpResponse()
        if isinstance(response, Exception):
            raise response
        return response

    async with make_server(http_handler=handler) as server, browse(server) as browser:
        with caplog.at_level(logging.ERROR, "web_transport"):
            assert (await browser.ask())[0] == 500
        assert "http_handler failed for GET /" in caplog.text
        assert (await browser.ask(path="/good"))[0] == 200


async def test_a_handler_that_takes_too_long_is_cut_off(make_server, browse, caplog, monkeypatch):
    """A place is not held forever: 503, and the handler is cancelled."""
    monkeypatch.setattr("web_transport.http._TIMEOUT", 0.05)
    cancelled = asyncio.Event()

    async def handler(request):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with make_server(http_handler=handler) as server, browse(server) as browser:
        assert (await browser.ask())[0] == 503
        await cancelled.wait()
        assert "took too long" in caplog.text


async def test_too_many_requests_are_turned_away(make_server, browse):
    """Those of one connection are bounded; the rest get a 503 at once."""
    free = asyncio.Event()

    async def handler(request):
        await free.wait()
        return HttpResponse()

    async with make_server(http_handler=handler) as server, browse(server) as browser:
        asked = [asyncio.create_task(browser.ask()) for _ in range(20)]
        while sum(task.done() for task in asked) < 4:
            await asyncio.wait([task for task in asked if not task.done()], return_when=asyncio.FIRST_COMPLETED)
        free.set()
        assert sorted([(await task)[0] for task in asked]) == [200] * 16 + [503] * 4


async def test_handlers_end_with_their_server(make_server, browse):
    """Closing cancels what is still being answered: no task outlives the server."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with make_server(http_handler=handler) as server, browse(server) as browser:
        asking = asyncio.create_task(browser.ask())
        await started.wait()
        server.close()
        await cancelled.wait()
        asking.cancel()


async def test_a_handler_does_not_keep_its_server_alive(certificate, client):
    """A server that is dropped is closed, handler or not."""
    server = web_transport.Server(
        certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0", http_handler=lambda request: HttpResponse()
    )
    url = f"https://127.0.0.1:{server.local_addr[1]}/"
    connecting = asyncio.create_task(client.connect(url))
    session = await (await server.accept()).accept()
    other = await connecting
    del server, session
    gc.collect()
    await other.wait_closed()

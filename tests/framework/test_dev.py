"""Development: what `ServerApp.run` makes, serves and prints if it is asked to, and only then."""

import asyncio
import json
import re
import socket
import ssl
import sys
from asyncio.subprocess import PIPE

import pytest
from pywebtransport import ConnectionError, ServerApp, ServerConfig, ServerError, WebTransportServer
from pywebtransport._dev import DevSite

from tests.framework.meeting import call, join, url_of

SERVER = """
import json, sys
from pywebtransport import ServerApp, ServerConfig

options = json.loads(sys.argv[1])
app = ServerApp(ServerConfig(close_timeout=0, **options["config"]))

@app.route("/echo")
async def echo(session):
    async for stream in session.incoming_bidirectional_streams():
        await stream.write_all(await stream.read_all())

@app.on_startup
def tell():
    print("started", flush=True)

app.run(**options["run"])
print("returned", flush=True)
"""


@pytest.fixture
async def run_app():
    """Runs applications in processes of their own, which are stopped after the test."""
    processes = []

    async def run(config=None, **arguments):
        options = json.dumps({"config": config or {}, "run": {"host": "127.0.0.1", **arguments}})
        processes.append(await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, options, stdout=PIPE, stderr=PIPE))
        return processes[-1]

    yield run
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def fetch(url: str, path: str = "/") -> tuple[str, str]:
    """The head and the body of what an HTTP server answers."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head, body


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_page_with_the_hash_is_served_and_announced(run_app, make_client):
    """No certificate is configured: one is made, which a client may pin by the hash that is printed, and that is in the page."""
    port = free_port()
    process = await run_app(port=port, dev=True)
    lines = [(await process.stdout.readline()).decode() for _ in range(4)]
    opened, serving, pin = re.fullmatch(
        r"started\nopen (http://127.*)/\nserving (https://127.*)\ncertificate hash (.*)\n", "".join(lines)
    ).groups()
    assert serving == f"https://127.0.0.1:{port}"
    head, body = await fetch(opened)
    assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/html")
    about = re.search(r"const server = ({.*?), \"options\"", body)[1] + "}"
    assert json.loads(about) == {"url": serving, "paths": ["/echo"], "hash": pin}
    assert str(list(bytes.fromhex(pin))) in body
    assert "{{" not in body
    assert (await fetch(opened, "/other"))[0].startswith("HTTP/1.1 404 Not Found")
    client = make_client(verify_mode=ssl.CERT_REQUIRED, server_certificate_hashes=[bytes.fromhex(pin)])
    session = await client.connect(serving + "/echo", headers={"origin": opened})
    assert await call(session) == b"hello"
    await session.close()
    process.terminate()
    assert (await process.communicate())[0] == b"returned\n"
    assert process.returncode == 0


async def test_without_it_nothing_of_the_kind_happens(run_app, pem, make_client):
    """Nothing is printed, there is no HTTP, and a certificate must be configured."""
    port = free_port()
    process = await run_app({"certfile": str(pem[0]), "keyfile": str(pem[1])}, port=port)
    assert await process.stdout.readline() == b"started\n"
    await (await make_client().connect(f"https://127.0.0.1:{port}/echo")).close()
    with pytest.raises(OSError, match="refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    process.terminate()
    assert (await process.communicate())[0] == b"returned\n"
    process = await run_app(port=port)
    assert b"ConfigurationError: certfile must be the path" in (await process.communicate())[1]


async def test_a_page_of_one_s_own(run_app, tmp_path, make_client):
    """It is read anew whenever it is asked for; and its origin is allowed, whatever the configuration allows."""
    page = tmp_path / "page.html"
    page.write_text("<script>const w = {{webtransport}}</script>")
    process = await run_app({"allowed_origins": ["https://a.example"]}, port=0, dev=str(page))
    lines = [(await process.stdout.readline()).decode().split() for _ in range(4)]
    opened, serving = lines[1][1].rstrip("/"), lines[2][1]
    assert serving in (await fetch(opened))[1]
    page.write_text("new")
    assert (await fetch(opened, "/?room=1"))[1] == "new"
    for origin in (opened, "https://a.example"):
        await (await make_client().connect(serving + "/echo", headers={"origin": origin})).close()
    with pytest.raises(ConnectionError, match="403"):
        await make_client().connect(serving + "/echo", headers={"origin": "https://b.example"})


async def test_what_cannot_be_developed_with(tmp_path):
    """A page that is not there, and an address whose origin is not that of the page."""
    with pytest.raises(FileNotFoundError):
        await asyncio.to_thread(ServerApp().run, "127.0.0.1", 0, dev=tmp_path / "none.html")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, but finds out which interface would
        except OSError:
            pytest.skip("this machine has no interface but the loopback")
        address = probe.getsockname()[0]
    with pytest.raises(ServerError, match=f"cannot develop on {address}"):
        await asyncio.to_thread(ServerApp().run, address, 0, dev=True)


async def test_the_certificate_is_renewed_in_time(make_client):
    """After 10 of its 13 days, looked at every hour; the page has the new hash, and sessions go on."""
    now = 0.0
    asked: asyncio.Queue[float] = asyncio.Queue()
    go = asyncio.Semaphore(0)

    async def sleep(seconds: float) -> None:
        asked.put_nowait(seconds)
        await go.acquire()

    async with WebTransportServer(ServerConfig(bind_host="127.0.0.1", bind_port=0, close_timeout=0)) as server:
        async with DevSite(server, clock=lambda: now, sleep=sleep) as site:
            await server.listen()

            async def announced() -> bytes:
                return bytes.fromhex(site.announcement().rpartition(" ")[2])

            def trusting(pin: bytes):
                return make_client(verify_mode=ssl.CERT_REQUIRED, server_certificate_hashes=[pin])

            assert await asked.get() == 3600
            first = await announced()
            ends = await join(trusting(first), server)
            now += 10 * 24 * 3600 - 1
            go.release()
            await asked.get()
            assert await announced() == first
            now += 1
            go.release()
            await asked.get()
            second = await announced()
            assert second != first
            assert second.hex() in (await fetch(site.url))[1]
            with pytest.raises(ConnectionError, match="certificate"):
                await trusting(first).connect(url_of(server))
            await join(trusting(second), server)
            ours, theirs = await ends.bi()
            await ours.write_all(b"still here")
            assert await theirs.read_all() == b"still here"
        with pytest.raises(OSError, match="refused|Connect call failed"):
            await fetch(site.url)

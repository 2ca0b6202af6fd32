"""A server that tells how it is, twenty times a second, in datagrams; and a page that draws it.

What gets lost is not sent again, since the next sample is newer: that is what datagrams are for.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from urllib.parse import urlencode

from pywebtransport import ConnectionError, ServerApp, ServerConfig, SessionError, WebTransportSession
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

INTERVAL = 0.05  # seconds between two samples

app = ServerApp()


async def samples() -> AsyncIterator[dict[str, float]]:
    """How this process is: the share of a CPU that it takes, in percent, and how late its event loop runs what is due, in ms."""
    due, spent = time.perf_counter(), time.process_time()
    for number in count():
        due += INTERVAL
        await asyncio.sleep(due - time.perf_counter())
        now = time.perf_counter()
        before, spent = spent, time.process_time()
        yield {"number": number, "cpu": 100 * (spent - before) / INTERVAL, "delay": 1000 * max(0.0, now - due)}


@app.route("/telemetry")
async def tell(session: WebTransportSession) -> None:
    """Send samples until the session is over."""
    with contextlib.suppress(SessionError, ConnectionError):
        async for sample in samples():
            await session.send_datagram(json.dumps(sample).encode())


async def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Tell how a server is, in datagrams.")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    port = parser.parse_args().port
    with TemporaryDirectory() as directory:
        certfile, keyfile = generate_self_signed_cert("localhost", directory)
        async with app.copy(ServerConfig(certfile=certfile, keyfile=keyfile, bind_host="127.0.0.1", bind_port=port)) as serving:
            await serving.server.listen()
            url = f"https://127.0.0.1:{serving.server.local_addresses[0][1]}/telemetry"
            print(announcement(url, certificate_hash(certfile).hex()), flush=True)
            await serving.serve()


def announcement(url: str, pin: str) -> str:
    """Serve the page over HTTP, on localhost, where pages may use WebTransport; and say where everything is."""
    pages = partial(SimpleHTTPRequestHandler, directory=str(Path(__file__).parent))
    http = ThreadingHTTPServer(("127.0.0.1", 0), pages)
    Thread(target=http.serve_forever, daemon=True).start()
    return f"url: {url}\nhash: {pin}\npage: http://127.0.0.1:{http.server_port}/?{urlencode({'url': url, 'hash': pin})}"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

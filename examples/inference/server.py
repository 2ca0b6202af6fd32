"""A server that makes text, word by word, and stops when nobody wants more; and a page to ask it from.

A prompt comes as a line on a stream of its own, and the words go back on it as they are made. Whoever wants no more resets its half of the
stream, or stops ours: either ends the work at once.
"""

import argparse
import asyncio
import contextlib
import itertools
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from urllib.parse import urlencode

from model import Model
from pywebtransport import ConnectionError, ServerApp, ServerConfig, SessionError, StreamError, WebTransportSession, WebTransportStream
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

PACE = 0.03  # seconds that a word takes, as on a larger machine a larger model would
LONGEST = 2000  # words

app = ServerApp()
model = Model(Path(__file__).with_name("text.txt").read_text(encoding="utf-8"))


@app.route("/generate")
async def generate(session: WebTransportSession) -> None:
    """Answer every stream of a client, several at a time."""
    async with asyncio.TaskGroup() as group:
        async for stream in session.incoming_bidirectional_streams():
            group.create_task(answer(stream))


async def answer(stream: WebTransportStream) -> None:
    """Make words until there are enough, or until the client gives up its half of the stream."""
    made = 0
    try:
        async with stream, asyncio.TaskGroup() as group:
            prompt = (await stream.readline(limit=4096)).decode()
            listening = group.create_task(stream.read_all(max_bytes=0))  # nothing more comes but perhaps a reset, which ends the group
            for word in itertools.islice(model.continuation(prompt), LONGEST):
                await asyncio.sleep(PACE)
                await stream.write(f" {word}".encode())
                made += 1
            listening.cancel()
        print(f"made {made} words", flush=True)
    except* (StreamError, SessionError, ConnectionError) as errors:
        print(f"stopped after {made} words: {errors.exceptions[0]}", flush=True)


async def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Make text over streams.")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    port = parser.parse_args().port
    with TemporaryDirectory() as directory:
        certfile, keyfile = generate_self_signed_cert("localhost", directory)
        async with app.copy(ServerConfig(certfile=certfile, keyfile=keyfile, bind_host="127.0.0.1", bind_port=port)) as serving:
            await serving.server.listen()
            url = f"https://127.0.0.1:{serving.server.local_addresses[0][1]}/generate"
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

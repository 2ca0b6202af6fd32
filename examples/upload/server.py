"""A server that takes files, and a page to send them from: each file on a stream of its own, with its progress on the way back."""

import argparse
import asyncio
import contextlib
import hashlib
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from threading import Thread
from urllib.parse import urlencode

from web_transport import (
    RecvStream,
    SendStream,
    Server,
    SessionError,
    SessionRequest,
    StreamError,
    certificate_hash,
    generate_self_signed,
)

LARGEST = 1 << 30  # bytes of a file
REPORTED = 1 << 20  # bytes between two reports


async def answer(send: SendStream, recv: RecvStream, directory: Path) -> None:
    """Take what comes on a stream, or say what is wrong with it."""
    with contextlib.suppress(StreamError, SessionError):  # the client has cancelled, or gone: what is not complete is thrown away
        async with send, recv:
            try:
                await take(send, recv, directory)
            except OSError as error:
                await tell(send, error=f"the file cannot be stored: {error.strerror}")
            except (ValueError, RecursionError) as error:  # JSON may be wrong, or too deep
                await tell(send, error=str(error))


async def take(send: SendStream, recv: RecvStream, directory: Path) -> None:
    """Take one file: a line of JSON with its name and size, then its bytes. It appears in *directory* when it is complete."""
    name, size = announced(await recv.readline(limit=4096))
    digest, received, reported = hashlib.sha256(), 0, 0
    with NamedTemporaryFile(dir=directory, prefix=".upload-") as file:
        async for chunk in recv:
            received += len(chunk)
            if received > size:
                break
            file.write(chunk)
            digest.update(chunk)
            if received - reported >= REPORTED:
                await tell(send, received=received)
                reported = received
        if received != size:
            raise ValueError(f"{size} bytes were announced, but not {received}")
        file.flush()
        (directory / name).unlink(missing_ok=True)
        (directory / name).hardlink_to(file.name)
    await tell(send, received=received)
    await tell(send, name=name, received=received, sha256=digest.hexdigest())
    print(f"{name}: {received} bytes", flush=True)


def announced(line: bytes) -> tuple[str, int]:
    """Name and size of a file, which a client says first; a ValueError if they make no sense."""
    match json.loads(line):
        # Only a name: a path of the client's is none of ours.
        case {"name": str(name), "size": int(size)} if Path(name).name == name != ".." and name.isprintable() and 0 <= size <= LARGEST:
            return name, size
    raise ValueError(f"a file has a name, and {LARGEST} bytes at most")


async def tell(send: SendStream, **answer: object) -> None:
    """Send a line of JSON."""
    await send.write(json.dumps(answer).encode() + b"\n")


async def serve(request: SessionRequest, directory: Path) -> None:
    """Take the files of one client, several at a time."""
    async with asyncio.TaskGroup() as group:
        with contextlib.suppress(SessionError):  # the client has gone; what it had sent to the end is taken all the same
            async with await request.accept() as session:
                while True:
                    group.create_task(answer(*await session.accept_bi(), directory))


async def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Take files over WebTransport.")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--directory", type=Path, default=None, help="where the files go (default: a new one)")
    options = parser.parse_args()
    directory = options.directory or Path(mkdtemp(prefix="uploads-"))

    certificate, key = generate_self_signed(["127.0.0.1"])
    async with Server(certificate_chain=[certificate], private_key=key, bind=f"127.0.0.1:{options.port}") as server:
        url = f"https://127.0.0.1:{server.local_addr[1]}/"
        print(f"files go to {directory}\n{announcement(url, certificate_hash(certificate).hex())}", flush=True)
        async with asyncio.TaskGroup() as group:
            async for request in server:
                group.create_task(serve(request, directory))


def announcement(url: str, pin: str) -> str:
    """Serve the page over HTTP, on localhost, where pages may use WebTransport; and say where everything is."""
    pages = partial(SimpleHTTPRequestHandler, directory=str(Path(__file__).parent))
    http = ThreadingHTTPServer(("127.0.0.1", 0), pages)
    Thread(target=http.serve_forever, daemon=True).start()
    return f"url: {url}\nhash: {pin}\npage: http://127.0.0.1:{http.server_port}/?{urlencode({'url': url, 'hash': pin})}"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

"""Sends a file to server.py, with a progress bar: client.py URL HASH FILE, the first two as the server prints them."""

import argparse
import asyncio
import contextlib
import json
import sys
from pathlib import Path

from web_transport import Client, RecvStream, SendStream, StreamError, WebTransportError

CHUNK = 1 << 16  # bytes


async def send_file(send: SendStream, path: Path) -> None:
    """Send the name and the size of a file in a line of JSON, then its bytes."""
    head = {"name": path.name, "size": path.stat().st_size}
    with contextlib.suppress(StreamError):  # the server wants no more of it, and says why on the way back
        async with send:
            await send.write(json.dumps(head).encode() + b"\n")
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    await send.write(chunk)  # waits while the network is slower than the disk


async def follow(recv: RecvStream, size: int) -> None:
    """Show how much has arrived, until the server has all of it."""
    while line := await recv.readline():
        answer = json.loads(line)
        if "error" in answer:
            sys.exit(answer["error"])
        if "sha256" in answer:
            print(f"\n{answer['name']}: {answer['received']} bytes, SHA-256 {answer['sha256']}")
            return
        show(answer["received"] / size if size else 1.0)
    sys.exit("the server gave up")


def show(part: float) -> None:
    """Draw a progress bar."""
    done = int(part * 40)
    print(f"\r[{'#' * done}{'.' * (40 - done)}] {part:4.0%}", end="", flush=True)


async def main() -> None:
    """Send the file that the command line names."""
    parser = argparse.ArgumentParser(description="Send a file to server.py.")
    parser.add_argument("url")
    parser.add_argument("hash", type=bytes.fromhex)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    if not options.file.is_file():
        parser.error(f"there is no file {options.file}")
    async with (
        Client(server_certificate_hashes=[options.hash]) as client,
        await client.connect(options.url) as session,
        asyncio.TaskGroup() as group,
    ):
        send, recv = await session.open_bi()
        group.create_task(send_file(send, options.file))
        await follow(recv, options.file.stat().st_size)


if __name__ == "__main__":
    failure = None
    try:
        asyncio.run(main())
    except* WebTransportError as errors:
        failure = str(errors.exceptions[0])
    except* KeyboardInterrupt:
        failure = "\ncancelled"
    sys.exit(failure)

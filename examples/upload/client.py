"""Sends a file to server.py, with a progress bar: client.py URL HASH FILE, the first two as the server prints them."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from web_transport import Client, SendStream, StreamError, WebTransportError

CHUNK = 1 << 16  # bytes


async def send_file(send: SendStream, path: Path) -> None:
    """Send the name and the size of a file in a line of JSON, then its bytes."""
    head = {"name": path.name, "size": path.stat().st_size}
    async with send:
        await send.write(json.dumps(head).encode() + b"\n")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                await send.write(chunk)  # waits while the network is slower than the disk


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
    size = options.file.stat().st_size
    try:
        async with Client(server_certificate_hashes=[options.hash]) as client, await client.connect(options.url) as session:
            send, recv = await session.open_bi()
            sending = asyncio.create_task(send_file(send, options.file))
            while line := await recv.readline():
                answer = json.loads(line)
                if "error" in answer:
                    sys.exit(answer["error"])
                if "sha256" in answer:
                    print(f"\n{answer['name']}: {answer['received']} bytes, SHA-256 {answer['sha256']}")
                else:
                    show(answer["received"] / size if size else 1.0)
            try:
                await sending
            except StreamError as error:
                sys.exit(f"the server gave up: {error}")
    except WebTransportError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    asyncio.run(main())

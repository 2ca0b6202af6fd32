"""A client of server.py for the terminal: ``client.py URL HASH ROOM NAME``, the first two as the server prints them."""

import asyncio
import sys
from urllib.parse import quote

from pywebtransport import ClientConfig, WebTransportClient, WebTransportError, WebTransportStream


async def listen(stream: WebTransportStream) -> None:
    """Print what is said, until the server ends it."""
    while line := await stream.readline():
        print(line.decode(), end="", flush=True)


async def chat(url: str, certificate_hash: str, room: str, name: str) -> None:
    """Say what is typed, until that ends."""
    typed = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(typed), sys.stdin)
    config = ClientConfig(server_certificate_hashes=[bytes.fromhex(certificate_hash)])
    async with (
        WebTransportClient(config) as client,
        await client.connect(f"{url}/chat/{quote(room, '')}/{quote(name, '')}") as session,
        await session.accept_bidirectional_stream() as stream,  # the server opens one
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(listen(stream))
        async for line in typed:
            await stream.write(line)
        await stream.write(b"", end_stream=True)


if __name__ == "__main__":
    failure = None
    try:
        asyncio.run(chat(*sys.argv[1:]))
    except* WebTransportError as errors:
        failure = str(errors.exceptions[0])
    except* KeyboardInterrupt:
        pass
    sys.exit(failure)

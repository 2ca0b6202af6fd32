"""A client of server.py: one echo over each kind of stream and over a datagram, with its round-trip time.

usage: client.py URL CERTIFICATE_HASH, both as the server prints them
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import web_transport
from web_transport import Client, Session

MESSAGE = b"Hello, WebTransport!"
TIMEOUT = 10.0  # seconds for everything


async def bidirectional(session: Session) -> bytes:
    """Send the message over a stream, and read the answer from it."""
    send, recv = await session.open_bi()
    async with send, recv:
        await send.write(MESSAGE)
        await send.finish()  # the server sees the end of the stream, and ends its own side
        return await recv.read()


async def unidirectional(session: Session) -> bytes:
    """Send the message over a stream, and read the answer from the stream that the server opens."""
    async with await session.open_uni() as send:
        await send.write(MESSAGE)
    async with await session.accept_uni() as recv:
        return await recv.read()


async def datagram(session: Session) -> bytes:
    """Send the message as a datagram, and receive one; should the network lose either, the time-out tells."""
    await session.send_datagram(MESSAGE)
    return await session.receive_datagram()


async def measure(name: str, echo: Callable[[Session], Awaitable[bytes]], session: Session) -> None:
    """Run one echo and print how long it took."""
    start = time.perf_counter()
    answer = await echo(session)
    elapsed = time.perf_counter() - start
    if answer != MESSAGE:
        sys.exit(f"{name}: sent {MESSAGE!r}, but got {answer!r}")
    print(f"{name}: {elapsed * 1000:.2f} ms")


async def main() -> None:
    """Read the command line, connect, and try every kind of echo."""
    parser = argparse.ArgumentParser(description="A client of server.py.")
    parser.add_argument("url", help="where the server is: https://localhost:4433/echo")
    parser.add_argument("hash", type=bytes.fromhex, help="the SHA-256 of its certificate, in hexadecimal")
    options = parser.parse_args()

    try:
        async with asyncio.timeout(TIMEOUT), Client(server_certificate_hashes=[options.hash]) as client:
            start = time.perf_counter()
            session = await client.connect(options.url)
            print(f"connect: {(time.perf_counter() - start) * 1000:.2f} ms")
            async with session:
                await measure("bidirectional stream", bidirectional, session)
                await measure("unidirectional streams", unidirectional, session)
                await measure("datagram", datagram, session)
                start = time.perf_counter()
                session.close(7, "bye")
                await session.wait_closed()
                print(f"close: {(time.perf_counter() - start) * 1000:.2f} ms")
    except (web_transport.WebTransportError, ValueError) as error:  # ValueError: no such URL, no such hash
        sys.exit(f"{options.url}: {error}")
    except TimeoutError:
        sys.exit(f"{options.url}: no answer within {TIMEOUT:.0f} s")


if __name__ == "__main__":
    asyncio.run(main())

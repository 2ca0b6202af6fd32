"""Asks server.py for text, and prints it as it comes: client.py URL HASH PROMPT [--words N]; with N it cancels after so many."""

import argparse
import asyncio
import sys

from web_transport import Client, WebTransportError


async def main() -> None:
    """Ask, print, and cancel when it is enough."""
    parser = argparse.ArgumentParser(description="Ask server.py for text.")
    parser.add_argument("url")
    parser.add_argument("hash", type=bytes.fromhex)
    parser.add_argument("prompt")
    parser.add_argument("--words", type=int, default=50)
    options = parser.parse_args()
    async with Client(server_certificate_hashes=[options.hash]) as client, await client.connect(f"{options.url}/generate") as session:
        send, recv = await session.open_bi()
        await send.write(options.prompt.encode() + b"\n")
        print(options.prompt, end="", flush=True)
        words = 0
        async for piece in recv:
            print(piece.decode(), end="", flush=True)
            words += piece.count(b" ")
            if words >= options.words:
                recv.stop()  # the server's next write fails, and it makes no more
                send.reset()
                break
    print()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except WebTransportError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass  # enough

"""Presses the button of server.py, and hears of it: client.py URL HASH PAGE, all as the server prints them."""

import argparse
import asyncio
import json
import sys
from urllib.request import Request, urlopen

from web_transport import Client, WebTransportError


async def main() -> None:
    """Press three times, and print what comes of it."""
    parser = argparse.ArgumentParser(description="Press the button of server.py.")
    parser.add_argument("url")
    parser.add_argument("hash", type=bytes.fromhex)
    parser.add_argument("page")
    options = parser.parse_args()
    request = Request(options.page + "api/press", method="POST", headers={"user-agent": "client.py"})
    async with Client(server_certificate_hashes=[options.hash]) as client, await client.connect(options.url) as session:
        for _ in range(3):
            await asyncio.to_thread(urlopen, request)
            news = json.loads(await (await session.accept_uni()).read(limit=4096))
            print(f"{news['count']}: {news['who']}")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except WebTransportError as error:
        sys.exit(str(error))

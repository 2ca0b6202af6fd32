"""Prints what server.py tells: client.py URL HASH [COUNT], the first two as the server prints them."""

import argparse
import asyncio
import json
import sys

from pywebtransport import ClientConfig, WebTransportClient, WebTransportError


async def main() -> None:
    """Print samples, a line each, and at the end how many got lost."""
    parser = argparse.ArgumentParser(description="Print what server.py tells.")
    parser.add_argument("url")
    parser.add_argument("hash", type=bytes.fromhex)
    parser.add_argument("count", type=int, nargs="?", default=100)
    options = parser.parse_args()
    newest, seen, first = -1, 0, None
    async with WebTransportClient(ClientConfig(server_certificate_hashes=[options.hash])) as client:
        async with await client.connect(f"{options.url}/telemetry") as session:
            while seen < options.count:
                sample = json.loads(await session.datagrams.receive())
                if sample["number"] > newest:  # else it was overtaken
                    newest, seen = sample["number"], seen + 1
                    first = newest if first is None else first
                    print(f"{newest:6}  CPU {sample['cpu']:5.1f} %  event loop {sample['delay']:6.2f} ms late", flush=True)
    print(f"{seen} samples, {newest - (first or 0) + 1 - seen} lost")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except WebTransportError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass  # enough

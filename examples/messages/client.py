"""Sells and buys on server.py, on two streams: client.py URL HASH, both as the server prints them."""

import argparse
import asyncio
import sys

from protocol import REGISTRY, Filled, Order, Side
from pywebtransport import ClientConfig, StructuredStream, WebTransportClient, WebTransportError
from pywebtransport.serializer import JSONSerializer


async def main() -> None:
    """Offer ten, buy twelve in two orders, and print what becomes of them."""
    parser = argparse.ArgumentParser(description="Trade on server.py.")
    parser.add_argument("url")
    parser.add_argument("hash", type=bytes.fromhex)
    options = parser.parse_args()
    async with WebTransportClient(ClientConfig(server_certificate_hashes=[options.hash])) as client:
        async with await client.connect(options.url) as session:
            seller = StructuredStream(await session.create_bidirectional_stream(), JSONSerializer(), REGISTRY)
            buyer = StructuredStream(await session.create_bidirectional_stream(), JSONSerializer(), REGISTRY)

            await seller.send_obj(Order(Side.SELL, amount=10, price=250))
            await seller.send_obj(Order(Side.SELL, amount=-1, price=250))
            print("seller:", (await seller.receive_obj()).why)  # so the first order has arrived as well

            for amount in (7, 5):
                await buyer.send_obj(Order(Side.BUY, amount, price=300))
                filled = await buyer.receive_obj()
                assert isinstance(filled, Filled)
                print(f"buyer: got {filled.amount} of {amount} for {filled.price / 100:.2f}")
            for _ in range(2):
                print("seller: sold", (await seller.receive_obj()).amount)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except WebTransportError as error:
        sys.exit(str(error))

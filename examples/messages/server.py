"""A small exchange: orders come as objects over a stream, and what becomes of them goes back on it."""

import argparse
import asyncio
import contextlib
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from protocol import REGISTRY, Filled, Order, Refused, Side
from pywebtransport import (
    ConnectionError,
    SerializationError,
    ServerApp,
    ServerConfig,
    SessionError,
    StreamError,
    StructuredStream,
    WebTransportSession,
    WebTransportStream,
)
from pywebtransport.serializer import JSONSerializer
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

MOST = 10_000  # orders that wait

app = ServerApp()


@dataclass
class Open:
    """An order that waits, and who waits for it."""

    order: Order
    owner: StructuredStream


@dataclass
class Book:
    """The orders that wait, those that came first at the front."""

    waiting: list[Open] = field(default_factory=list)

    async def place(self, order: Order, owner: StructuredStream) -> None:
        """Match an order with those that wait, and tell both sides; what is left of it waits."""
        if order.amount <= 0 or order.price <= 0:
            await owner.send_obj(Refused(order.order_id, "amount and price are more than 0"))
            return
        for other in [other for other in self.waiting if self._match(order, other.order)]:
            amount = min(order.amount, other.order.amount)
            if amount:
                order.amount -= amount
                other.order.amount -= amount
                await owner.send_obj(Filled(order.order_id, amount, other.order.price))
                with contextlib.suppress(StreamError, SessionError, ConnectionError):  # it has left, and finds out later
                    await other.owner.send_obj(Filled(other.order.order_id, amount, other.order.price))
        self.waiting = [other for other in self.waiting if other.order.amount]
        if order.amount and len(self.waiting) >= MOST:
            await owner.send_obj(Refused(order.order_id, "too many orders wait"))
        elif order.amount:
            self.waiting.append(Open(order, owner))

    def forget(self, owner: StructuredStream) -> None:
        """Drop the orders of somebody who has left."""
        self.waiting = [other for other in self.waiting if other.owner is not owner]

    @staticmethod
    def _match(order: Order, other: Order) -> bool:
        buy, sell = (order, other) if order.side is Side.BUY else (other, order)
        return order.side is not other.side and buy.price >= sell.price


book = Book()


@app.route("/exchange")
async def exchange(session: WebTransportSession) -> None:
    """Take the orders of a client, on as many streams as it likes."""
    async with asyncio.TaskGroup() as group:
        async for stream in session.incoming_bidirectional_streams():
            group.create_task(trade(stream))


async def trade(stream: WebTransportStream) -> None:
    """Take the orders of one stream."""
    messages = StructuredStream(stream, JSONSerializer(), REGISTRY, max_message_size=4096)
    try:
        async with stream:
            async for order in messages:
                if isinstance(order, Order):
                    await book.place(order, messages)
    except SerializationError as error:
        print(f"a client makes no sense: {error}")
    except (StreamError, SessionError, ConnectionError):
        pass  # it has left
    finally:
        book.forget(messages)


async def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A small exchange.")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    port = parser.parse_args().port
    with TemporaryDirectory() as directory:
        certfile, keyfile = generate_self_signed_cert("localhost", directory)
        async with app.copy(ServerConfig(certfile=certfile, keyfile=keyfile, bind_host="127.0.0.1", bind_port=port)) as serving:
            await serving.server.listen()
            print(f"url: https://127.0.0.1:{serving.server.local_addresses[0][1]}/exchange")
            print(f"hash: {certificate_hash(certfile).hex()}", flush=True)
            await serving.serve()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

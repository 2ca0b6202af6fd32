"""The price of Python: the scenarios of the floor (`cargo bench -p webtransport-reactor`) through `web_transport`.

``python benchmarks/echo.py`` prints a table, with ``--json`` one JSON object a line. The server is a process of its own, as this
program run with ``serve``. CPU is that of both processes, all threads.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from web_transport import Client, RecvStream, SendStream, Server, Session, SessionClosed, generate_self_signed

BULK = 1 << 30
PIECE = 64 << 10
ROUND_TRIPS = 20_000
SMALL = bytes(64)
IN_FLIGHT = 64


async def serve() -> None:
    certificate, key = generate_self_signed(["localhost"])
    async with Server(certificate_chain=[certificate], private_key=key, bind="127.0.0.1:0") as server:
        print(server.local_addr[1], flush=True)
        async for request in server:
            path = request.url.rpartition("/")[2]
            session = await request.accept()
            with suppress(SessionClosed):
                await ROLES[path](session)
            await session.wait_closed()


async def sink(session: Session) -> None:
    send, recv = await session.accept_bi()
    await drain(recv)
    await send.finish()


async def source(session: Session) -> None:
    send, recv = await session.accept_bi()
    await drain(recv)
    await fill(send)


async def echo(session: Session) -> None:
    send, recv = await session.accept_bi()
    while data := await recv.read(PIECE):
        await send.write(data)
    await send.finish()


async def rpc(session: Session) -> None:
    async def answer(send: SendStream, recv: RecvStream) -> None:
        await send.write(await recv.read())
        await send.finish()

    async with asyncio.TaskGroup() as calls:
        while True:
            try:
                stream = await session.accept_bi()
            except SessionClosed:
                return
            calls.create_task(answer(*stream))


async def datagrams(session: Session) -> None:
    while True:
        session.send_datagram(await session.receive_datagram())


ROLES: dict[str, Callable[[Session], Awaitable[None]]] = {
    "sink": sink,
    "source": source,
    "echo": echo,
    "rpc": rpc,
    "datagrams": datagrams,
}


async def fill(send: SendStream) -> None:
    piece = bytes(PIECE)
    for _ in range(BULK // PIECE):
        await send.write(piece)
    await send.finish()


async def drain(recv: RecvStream) -> int:
    total = 0
    while data := await recv.read(PIECE):
        total += len(data)
    return total


class Bench:
    """A client, and the server's process."""

    def __init__(self, client: Client, server: subprocess.Popen[str], port: int, *, as_json: bool) -> None:
        self.client, self.server, self.port, self.as_json = client, server, port, as_json

    @asynccontextmanager
    async def session(self, path: str) -> AsyncIterator[Session]:
        async with await self.client.connect(f"https://localhost:{self.port}/{path}") as session:
            yield session

    def cpu(self) -> float:
        with open(f"/proc/{self.server.pid}/stat", encoding="ascii") as stat:
            user, system = stat.read().rpartition(")")[2].split()[11:13]
        own = os.times()
        return own.user + own.system + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    async def bulk(self, name: str, path: str) -> None:
        async with self.session(path) as session:
            send, recv = await session.open_bi()
            cpu, start = self.cpu(), time.perf_counter()
            if path == "sink":
                await fill(send)
                await recv.read()
            else:
                await send.finish()
                assert await drain(recv) == BULK
            seconds = time.perf_counter() - start
            self.report(name, BULK / seconds / 1e6, "MB/s", None, (self.cpu() - cpu) / BULK * 1e9, "s/GB")

    async def round_trips(self, name: str, n: int, round_trip: Callable[[], Awaitable[None]]) -> None:
        for _ in range(n // 10):
            await round_trip()
        times = []
        cpu, start = self.cpu(), time.perf_counter()
        for _ in range(n):
            begun = time.perf_counter()
            await round_trip()
            times.append(time.perf_counter() - begun)
        seconds = time.perf_counter() - start
        self.report(name, n / seconds, "/s", times, (self.cpu() - cpu) / n * 1e6, "us each")

    async def ping_pong(self) -> None:
        async with self.session("echo") as session:
            send, recv = await session.open_bi()

            async def round_trip() -> None:
                await send.write(SMALL)
                await recv.readexactly(len(SMALL))

            await self.round_trips("ping-pong, 64 B on one stream", ROUND_TRIPS, round_trip)

    async def datagram_echo(self) -> None:
        async with self.session("datagrams") as session:

            async def round_trip() -> None:
                session.send_datagram(SMALL)
                await session.receive_datagram()

            await self.round_trips("datagram echo, 64 B", ROUND_TRIPS, round_trip)

    async def rpc(self) -> None:
        async with self.session("rpc") as session:

            async def call() -> None:
                send, recv = await session.open_bi()
                await send.write(SMALL)
                await send.finish()
                assert await recv.read() == SMALL

            await self.round_trips("RPC, 64 B, a stream each", ROUND_TRIPS, call)
            left = iter(range(ROUND_TRIPS))

            async def caller() -> None:
                for _ in left:
                    await call()

            cpu, start = self.cpu(), time.perf_counter()
            async with asyncio.TaskGroup() as callers:
                for _ in range(IN_FLIGHT):
                    callers.create_task(caller())
            rate = ROUND_TRIPS / (time.perf_counter() - start)
            self.report(f"RPC, {IN_FLIGHT} in flight", rate, "/s", None, (self.cpu() - cpu) / ROUND_TRIPS * 1e6, "us each")

    def report(self, name: str, rate: float, unit: str, times: list[float] | None, cpu: float, cpu_unit: str) -> None:
        micros = [round(q * 1e6) for q in (statistics.quantiles(times, n=100)[49::49])] if times else None
        if self.as_json:
            print(json.dumps({"scenario": name, "rate": rate, "unit": unit, "p50_p99_us": micros, "cpu": cpu, "cpu_unit": cpu_unit}))
        else:
            latency = f"p50 {micros[0]} us, p99 {micros[1]} us" if micros else ""
            print(f"{name:32} {rate:12,.0f} {unit:5} {latency:26} {cpu:8.2f} CPU {cpu_unit}", flush=True)


async def measure(*, as_json: bool) -> None:
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            async with Client(no_cert_verification=True) as client:
                bench = Bench(client, server, port, as_json=as_json)
                await bench.bulk("bulk up, 64 KiB writes", "sink")
                await bench.bulk("bulk down, 64 KiB writes", "source")
                await bench.ping_pong()
                await bench.datagram_echo()
                await bench.rpc()
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", nargs="?", choices=["serve"], help="be the server")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    asyncio.run(serve() if arguments.role else measure(as_json=arguments.json))


if __name__ == "__main__":
    main()

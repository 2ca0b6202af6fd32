"""An echo server: whatever a session at /echo sends over streams and datagrams, it gets back.

Run it, and give the URL and the certificate hash that it prints to client.py or to page.html.
"""

import argparse
import asyncio
import contextlib
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import web_transport
from web_transport import RecvStream, SendStream, Server, Session, SessionRequest


async def serve(server: Server) -> None:
    """Answer requests for sessions until the server closes, each in a task of its own."""
    async with asyncio.TaskGroup() as group:
        async for request in server:
            group.create_task(answer(request))


async def answer(request: SessionRequest) -> None:
    """Serve one session, or turn it away."""
    client = address(*request.remote_address)
    try:
        if urlsplit(request.url).path != "/echo":
            await request.reject(404)
            return
        session = await request.accept()
    except web_transport.SessionError as error:
        print(f"{client}: left before it had an answer: {error}")
        return
    print(f"{client}: connected, {session.dialect}")
    async with session:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(echo_bidirectional(session))
                group.create_task(echo_unidirectional(session))
                group.create_task(echo_datagrams(session))
        except* web_transport.SessionError:
            # However a session ends, every call on it raises the same error, and so each of the three tasks has ended.
            print(f"{client}: {session.close_reason}")


async def echo_bidirectional(session: Session) -> None:
    """Send back what comes over a bidirectional stream, on the stream itself, while it comes."""
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(echo(*await session.accept_bi()))


async def echo_unidirectional(session: Session) -> None:
    """Send back what comes over a unidirectional stream, on a new one."""

    async def answer(recv: RecvStream) -> None:
        await echo(await session.open_uni(), recv)

    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(answer(await session.accept_uni()))


async def echo(send: SendStream, recv: RecvStream) -> None:
    """Send back what *recv* receives, up to its end."""
    try:
        # Leaving `async with` finishes the sending half, or resets it after an error: a broken echo never looks complete.
        async with send, recv:
            async for chunk in recv:
                await send.write(chunk)
    except web_transport.StreamClosed as error:
        print(f"a stream was broken off: {error}")  # the client's right: its session goes on


async def echo_datagrams(session: Session) -> None:
    """Send back every datagram; one that was lost is nobody's error."""
    while True:
        data = await session.receive_datagram()
        try:
            await session.send_datagram(data)
        except web_transport.DatagramTooLargeError as error:
            print(f"a datagram was not sent back: {error}")  # the way back may carry less than the way here


def address(host: str, port: int) -> str:
    """*host* and *port* as a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def main() -> None:
    """Read the command line, and serve until interrupted."""
    parser = argparse.ArgumentParser(description="A WebTransport server that echoes streams and datagrams at /echo.")
    parser.add_argument("--host", type=ipaddress.ip_address, default="::", help="the address to listen on (default: all)")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--certfile", type=Path, help="the certificate chain, PEM (default: a new certificate for localhost)")
    parser.add_argument("--keyfile", type=Path, help="its private key, PEM")
    options = parser.parse_args()
    if (options.certfile is None) != (options.keyfile is None):
        parser.error("--certfile and --keyfile come together")

    if options.certfile:
        chain, key = web_transport.load_certificates(options.certfile), web_transport.load_private_key(options.keyfile)
    else:
        certificate, key = web_transport.generate_self_signed(["localhost", "127.0.0.1", "::1"])
        chain = [certificate]

    async with Server(certificate_chain=chain, private_key=key, bind=address(str(options.host), options.port)) as server:
        host, port = server.local_addr
        shown = "localhost" if options.host.is_unspecified else host
        print(f"url: https://{address(shown, port)}/echo")
        print(f"certificate hash: {web_transport.certificate_hash(chain[0]).hex()}", flush=True)
        await serve(server)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

"""What the commands that listen have in common: a certificate, and a line that says where."""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from pywebtransport._dev import keep_valid
from pywebtransport.app import ServerApp
from pywebtransport.server import WebTransportServer
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

from .arguments import CommandError

__all__ = ["Certificate", "certificate", "renew", "serve"]


class Certificate(NamedTuple):
    """The files of a certificate and of its key."""

    certfile: str
    keyfile: str
    directory: str | None = None
    """Where they are, if they were made for the command alone."""


@contextmanager
def certificate(arguments: argparse.Namespace) -> Iterator[Certificate]:
    """The certificate that the arguments name, and its key; if they name none, one for localhost that lasts as long as the command."""
    if (arguments.certfile is None) != (arguments.keyfile is None):
        raise CommandError("--certfile and --keyfile go together: a certificate is of no use without its key")
    if arguments.certfile is not None:
        yield Certificate(arguments.certfile, arguments.keyfile)
        return
    with tempfile.TemporaryDirectory(prefix="webtransport-") as directory:
        yield Certificate(*generate_self_signed_cert("localhost", directory), directory)


def serve(app: ServerApp, host: str, port: int, own: Certificate | None = None) -> None:
    """Run an application until SIGINT or SIGTERM, and say where it listens as soon as it does.

    Args:
        app: What runs.
        host: An address or a name.
        port: A UDP port, 0 for a free one.
        own: The certificate, which is renewed in time if it was made for the command.
    """
    renewing: list[asyncio.Task[None]] = []

    @app.on_startup
    async def listen() -> None:
        await app.server.listen(host, port)
        address, bound = app.server.local_addresses[0]
        name = "localhost" if address in ("::", "0.0.0.0", "::1", "127.0.0.1") else f"[{address}]" if ":" in address else address
        print(f"listening on https://{name}:{bound}")
        _tell_hash(app.server)
        if own is not None and own.directory is not None:
            renewing.append(asyncio.create_task(keep_valid(partial(renew, app.server, own.directory))))

    @app.on_shutdown
    def leave() -> None:
        for task in renewing:
            task.cancel()

    app.run()


def renew(server: WebTransportServer, directory: str) -> None:
    """Give a server that listens a new certificate, and say its hash.

    Args:
        server: Listens already.
        directory: Where to write the files.
    Raises:
        OSError: The files cannot be written.
    """
    server.use_certificate(*generate_self_signed_cert("localhost", directory))
    _tell_hash(server)


def _tell_hash(server: WebTransportServer) -> None:
    if server.config.certfile is not None:
        print(f"certificate hash {certificate_hash(server.config.certfile).hex()}", flush=True)

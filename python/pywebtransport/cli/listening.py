"""What the commands that listen have in common: a certificate, and a line that says where."""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pywebtransport.app import ServerApp
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

from .arguments import CommandError

__all__ = ["certificate", "serve"]


@contextmanager
def certificate(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The certificate that the arguments name, and its key; if they name none, one for localhost that lasts as long as the command."""
    if (arguments.certfile is None) != (arguments.keyfile is None):
        raise CommandError("--certfile and --keyfile go together: a certificate is of no use without its key")
    if arguments.certfile is not None:
        yield arguments.certfile, arguments.keyfile
        return
    with tempfile.TemporaryDirectory(prefix="webtransport-") as directory:
        yield generate_self_signed_cert("localhost", directory)


def serve(app: ServerApp, host: str, port: int, *, paths: str = "", announce: Callable[[], object] = lambda: None) -> None:
    """Run an application until SIGINT or SIGTERM, and say where it listens as soon as it does."""

    @app.on_startup
    async def listen() -> None:
        await app.server.listen(host, port)
        address, bound = app.server.local_addresses[0]
        name = "localhost" if address in ("::", "0.0.0.0", "::1", "127.0.0.1") else f"[{address}]" if ":" in address else address
        print(f"listening on https://{name}:{bound}{paths}")
        if app.server.config.certfile is not None:
            print(f"certificate hash {certificate_hash(app.server.config.certfile).hex()}", flush=True)
        announce()

    app.run()

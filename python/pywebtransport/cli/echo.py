"""``webtransport echo``: an echo server."""

import argparse

from pywebtransport.app import ServerApp
from pywebtransport.config import ServerConfig
from pywebtransport.interop import echo

from .arguments import Commands, add_command, add_listener
from .listening import certificate, serve

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Run an echo server.\n\n"
        "On every path, what comes goes back: streams of both kinds, and datagrams. Unless it is given a certificate it makes\n"
        "one, and serves a page on this machine that knows its hash, to try the server with."
    )
    add_listener(add_command(commands, "echo", _run, description))


def _run(arguments: argparse.Namespace) -> int:
    if arguments.certfile is None and arguments.keyfile is None:
        _app(ServerConfig()).run(arguments.host, arguments.port, dev=True)
        return 0
    with certificate(arguments) as own:
        config = ServerConfig(certfile=own.certfile, keyfile=own.keyfile, allowed_origins=["*"])
        serve(_app(config), arguments.host, arguments.port)
    return 0


def _app(config: ServerConfig) -> ServerApp:
    app = ServerApp(config)
    app.route("/")(echo)
    app.router.set_default_handler(echo)
    return app

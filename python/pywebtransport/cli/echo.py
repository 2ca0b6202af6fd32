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
    description = "Run an echo server.\n\nOn every path, what comes goes back: streams of both kinds, and datagrams."
    add_listener(add_command(commands, "echo", _run, description))


def _run(arguments: argparse.Namespace) -> int:
    with certificate(arguments) as (certfile, keyfile):
        app = ServerApp(ServerConfig(certfile=certfile, keyfile=keyfile, allowed_origins=["*"]))
        app.pattern_route("/.*")(echo)
        serve(app, arguments.host, arguments.port)
    return 0

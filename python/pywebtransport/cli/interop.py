"""``webtransport interop``: the interop server."""

import argparse

from pywebtransport.config import ServerConfig
from pywebtransport.interop import create_app

from .arguments import Commands, add_command, add_listener
from .listening import certificate, serve

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Run the interop server.\n\n"
        "/echo                         what comes goes back\n"
        "/stats, /status               figures of the session, or of the server, for each bidirectional stream\n"
        "/webtransport/devious-baton   a game of Devious Baton: ?version=0&count=1&baton=100\n"
        "GET /status.json              the version, over plain HTTP/3\n\n"
        "Without a certificate it makes one, renews it every ten days, and says its hash each time."
    )
    add_listener(add_command(commands, "interop", _run, description))


def _run(arguments: argparse.Namespace) -> int:
    with certificate(arguments) as own:
        config = ServerConfig(certfile=own.certfile, keyfile=own.keyfile, allowed_origins=["*"])
        serve(create_app(config), arguments.host, arguments.port, own)
    return 0

"""The command line, ``webtransport`` or ``python -m pywebtransport``: one module for each command.

Exit statuses: 0, it did what was asked; 1, it could not, or what was checked does not hold; 2, what was asked makes no sense; 130, it
was interrupted. Errors are one line on standard error.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

import web_transport

from pywebtransport.exceptions import WebTransportError

from . import baton, bench, cert, connect, doctor, echo, interop, ping, serve
from .arguments import CommandError, Parser

__all__ = ["main"]

_COMMANDS = (serve, echo, interop, connect, ping, bench, baton, doctor, cert)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Its name, and what follows; None: those of the process.
    Returns:
        The exit status.
    """
    parser = Parser(prog="webtransport", description="WebTransport over HTTP/3: servers, clients and what tests them.")
    parser.add_argument("--version", action="version", version=f"webtransport {version('webtransport-python')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    try:
        chosen = parser.parse_args(arguments)
    except SystemExit as leaving:  # after --help, --version or an error that was told
        return int(leaving.code or 0)
    try:
        status: int = chosen.run(chosen)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130  # as a shell has it: 128 + SIGINT
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CommandError as error:
        return _failed(chosen.name, error, error.status)
    except (WebTransportError, web_transport.WebTransportError, OSError) as error:
        return _failed(chosen.name, error, 1)
    return status


def _failed(command: str, error: Exception, status: int) -> int:
    print(f"webtransport {command}: {' '.join(str(error).split())}", file=sys.stderr)
    return status

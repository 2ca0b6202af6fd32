"""Arguments that several commands have: where to connect, and how to know the server; where to listen, and with what certificate."""

import argparse
import asyncio
import base64
import binascii
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeAlias

from pywebtransport.client import WebTransportClient
from pywebtransport.config import ClientConfig
from pywebtransport.constants import DEFAULT_PORT
from pywebtransport.session import WebTransportSession

__all__ = [
    "CommandError",
    "Commands",
    "Parser",
    "add_command",
    "add_listener",
    "add_target",
    "config_of",
    "connected",
    "number",
    "run_async",
]

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class CommandError(Exception):
    """A command cannot do what was asked; the text is one line for people."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


class Parser(argparse.ArgumentParser):
    """Tells errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where to read more."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_command(commands: Commands, name: str, run: Callable[[argparse.Namespace], int], description: str) -> Parser:
    """Add a command; the first sentence of its description is what the list of commands says."""
    parser = commands.add_parser(
        name,
        help=description[0].lower() + description[1:].partition(".")[0],
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, name=name)
    return parser


def add_target(parser: Parser) -> None:
    """Arguments of what connects."""
    parser.add_argument("url", metavar="URL", help="https://HOST[:PORT][/PATH][?QUERY]")
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--pin", metavar="HASH", type=_pin, action="append", help="accept a certificate by its SHA-256, hex or base64")
    trust.add_argument("--insecure", action="store_true", help="accept any certificate: anybody can then be the server")
    parser.add_argument("--header", metavar="NAME:VALUE", type=_header, action="append", default=[], help="a field of the request")
    parser.add_argument("--subprotocol", metavar="NAME", action="append", default=[], help="an application protocol to offer")
    parser.add_argument("--timeout", metavar="SECONDS", type=number(float, 0), default=10.0, help="for connecting (default: 10)")


def add_listener(parser: Parser) -> None:
    """Arguments of what listens."""
    parser.add_argument("--host", default="::", help="address or name to listen on (default: ::)")
    parser.add_argument("--port", type=number(int, 0), default=DEFAULT_PORT, help=f"UDP port, 0 for a free one (default: {DEFAULT_PORT})")
    parser.add_argument("--certfile", metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--keyfile", metavar="FILE", help="its private key, PEM")


def config_of(arguments: argparse.Namespace) -> ClientConfig:
    """What the arguments of `add_target` ask of a client."""
    return ClientConfig(
        verify_mode=ssl.CERT_NONE if arguments.insecure else ssl.CERT_REQUIRED,
        server_certificate_hashes=arguments.pin,
        headers=dict(arguments.header),
        wt_available_protocols=arguments.subprotocol,
        connect_timeout=arguments.timeout,
        user_agent="webtransport",
    )


@asynccontextmanager
async def connected(arguments: argparse.Namespace) -> AsyncIterator[WebTransportSession]:
    """The session that the arguments of `add_target` ask for."""
    async with WebTransportClient(config_of(arguments)) as client:
        try:
            session = await client.connect(arguments.url)
        except ValueError as error:
            raise CommandError(str(error)) from error
        async with session:
            yield session


def run_async(command: Coroutine[Any, Any, int]) -> int:
    """The status of a command that waits; of several things that failed at once, the first one is told."""
    try:
        return asyncio.run(command)
    except BaseExceptionGroup as group:
        failure: BaseException = group
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise failure from group


def number(kind: type[int] | type[float], least: float) -> Callable[[str], float]:
    """What takes numbers from *least* on."""

    def take(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = -1
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"not a number from {least:g} on: {text!r}")
        return value

    return take


def _pin(text: str) -> bytes:
    try:
        pin = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        try:
            pin = base64.b64decode(text, validate=True)
        except binascii.Error:
            pin = b""
    if len(pin) != 32:
        raise argparse.ArgumentTypeError(f"not the SHA-256 of a certificate, 32 bytes in hex or base64: {text!r}")
    return pin


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"not a NAME:VALUE: {text!r}")
    return name.strip().lower(), value.strip()

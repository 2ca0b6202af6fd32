"""``webtransport doctor``: what a server offers, and who would connect to it."""

import argparse
import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import web_transport

from .arguments import CommandError, Commands, add_command, add_target, run_async

__all__ = ["add"]

_Dialect: TypeAlias = Literal["draft-02", "draft-07", "draft-14", "draft-16"]
_DIALECTS: Sequence[_Dialect] = ("draft-02", "draft-07", "draft-14", "draft-16")
_OFFERED: Sequence[_Dialect] = ("draft-02", "draft-07", "draft-16")
_BROWSERS = {"Chromium": ("draft-02",), "Firefox": ("draft-02",), "Safari": ("draft-07", "draft-14")}  # what each speaks


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Tell what a server offers, and whether browsers would connect to it.\n\n"
        "Connects with each version of WebTransport by itself, with the system's roots and with what is pinned, and as a\n"
        "page of a foreign origin. The exit status is 1 if no session comes about."
    )
    add_target(add_command(commands, "doctor", _run, description))


def _run(arguments: argparse.Namespace) -> int:
    return run_async(_examine(arguments))


async def _examine(arguments: argparse.Namespace) -> int:
    patient = _Patient(arguments)
    chosen = await patient.attempt()
    host = urlsplit(arguments.url).hostname or ""
    if not _is_address(host):
        _tell("name", await _resolved(host))

    trusted = chosen if not arguments.insecure else await patient.attempt(no_cert_verification=False)
    reached = chosen if isinstance(chosen, _Visit) else await patient.attempt(**_ANY_CERTIFICATE)
    _tell("certificate", _certificate(arguments, trusted, reached))
    if not isinstance(reached, _Visit):
        _tell("session", f"none: {_reason(reached)}")
        return 1

    spoken = [dialect for dialect in _DIALECTS if isinstance(await patient.attempt(**_ANY_CERTIFICATE, dialects=[dialect]), _Visit)]
    _tell("session", f"{reached.dialect}, of {', '.join(spoken)} that it speaks")
    _tell("address", f"{reached.address[0]}, port {reached.address[1]}")
    stats = reached.stats
    _tell("path", f"round trip {1000 * stats.smoothed_rtt:.1f} ms, packets of {stats.mtu} bytes, {'with' if stats.ecn else 'without'} ECN")
    _tell("datagrams", reached.datagrams)
    if arguments.subprotocol:
        _tell("subprotocol", reached.subprotocol or f"none of {', '.join(arguments.subprotocol)}")
    foreign = await patient.attempt(**_ANY_CERTIFICATE, origin="https://foreign.example")
    _tell("origins", "pages of any origin" if isinstance(foreign, _Visit) else f"not of any origin: {_reason(foreign)}")
    _tell("sharing", "several sessions share a connection" if await patient.shares() else "a connection has one session")

    obstacle = await _obstacle(patient, trusted, pinned=bool(arguments.pin))
    for browser in _BROWSERS:
        _tell(browser, _verdict(browser, spoken, obstacle, pinned=bool(arguments.pin)))
    return 0 if isinstance(chosen, _Visit) else 1


_ANY_CERTIFICATE: dict[str, Any] = {"no_cert_verification": True, "server_certificate_hashes": None}


class _Visit(NamedTuple):
    """What a session told while it lasted."""

    dialect: str
    address: tuple[str, int]
    stats: web_transport.SessionStats
    datagrams: str
    subprotocol: str | None


class _Patient:
    """The server, and how it is asked."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._url: str = arguments.url
        self._timeout: float = arguments.timeout
        self._headers = dict(arguments.header)
        self._subprotocols: list[str] = arguments.subprotocol
        self._options = {"no_cert_verification": arguments.insecure, "server_certificate_hashes": arguments.pin, "dialects": _OFFERED}

    async def attempt(self, *, origin: str | None = None, **options: Any) -> _Visit | web_transport.ConnectError:
        """What a session is like, or why there is none."""
        headers = self._headers if origin is None else {**self._headers, "origin": origin}
        try:
            async with web_transport.Client(**{**self._options, **options}) as client:
                connecting = client.connect(self._url, headers=headers, subprotocols=self._subprotocols, timeout=self._timeout)
                async with await connecting as session:
                    datagrams = _datagrams(session)
                    return _Visit(session.dialect, session.remote_address, session.stats(), datagrams, session.subprotocol)
        except web_transport.ConnectError as error:
            return error
        except ValueError as error:
            raise CommandError(str(error)) from error

    async def shares(self) -> bool:
        """Whether two sessions fit on one connection."""
        async with web_transport.Client(**{**self._options, **_ANY_CERTIFICATE}) as client:
            try:
                async with asyncio.timeout(self._timeout):
                    sessions = [await client.connect(self._url, headers=self._headers, pool=True) for _ in range(2)]
            except (web_transport.ConnectError, TimeoutError):
                return False
            return len({session.connection_id for session in sessions}) == 1


async def _obstacle(patient: _Patient, trusted: _Visit | web_transport.ConnectError, *, pinned: bool) -> str | None:
    """What keeps browsers from trusting the certificate; of a pinned one they ask more than clients do."""
    visit = await patient.attempt(pin_rules="w3c") if pinned else trusted
    if isinstance(visit, _Visit):
        return None
    return f"its certificate is not trusted{f': {_reason(visit)}' if pinned else ', and not pinned here'}"


def _verdict(browser: str, spoken: Sequence[str], obstacle: str | None, *, pinned: bool) -> str:
    wanted = _BROWSERS[browser]
    if not set(wanted) & set(spoken):
        return f"would not connect: the server does not speak {' or '.join(wanted)}"
    if obstacle is not None:
        return f"would not connect: {obstacle}"
    if browser == "Safari" and pinned:
        return "maybe: nobody has seen it accept a pinned certificate"
    return "would connect"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _tell(what: str, text: str) -> None:
    print(f"{what:12} {text}", flush=True)


def _reason(error: object) -> str:
    """Why there is no session, without the name of the server, which the reader knows."""
    return " ".join(str(error).removeprefix("cannot connect to ").partition(": ")[2].split()) or str(error)


def _certificate(
    arguments: argparse.Namespace,
    trusted: _Visit | web_transport.ConnectError,
    reached: _Visit | web_transport.ConnectError,
) -> str:
    how = "is pinned" if arguments.pin else "leads to a root of this system"
    if isinstance(trusted, _Visit):
        return how
    if isinstance(reached, _Visit):
        return f"is not trusted: {_reason(trusted)}"
    return "not seen"


def _datagrams(session: web_transport.Session) -> str:
    try:
        return f"up to {session.max_datagram_size} bytes"
    except web_transport.WebTransportError as error:
        return f"none: {error}"


async def _resolved(host: str) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError as error:
        return f"does not resolve: {error.strerror or error}"
    return ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))

"""What servers and clients have in common: a socket with an end."""

import os
from types import TracebackType
from typing import Literal, Self, TypeAlias

from . import _web_transport as _native
from ._arguments import check_code, encoded_reason
from ._bridge import Home, tokens
from .stats import EndpointStats

KeyLog: TypeAlias = str | os.PathLike[str] | bool | None
CongestionControl: TypeAlias = Literal["default", "throughput", "low_latency"]
Dialect: TypeAlias = Literal["draft-02", "draft-07", "draft-14", "draft-16"]

_GONE = 1  # `wait_closed` waits under the second of an endpoint's tokens


def key_log_path(keylog: KeyLog) -> str | None:
    """Where TLS's secrets go; only who says True lets the environment choose."""
    if isinstance(keylog, bool) or keylog is None:
        return os.environ.get("SSLKEYLOGFILE") or None if keylog else None
    return os.fspath(keylog)


class Endpoint:
    """A socket and the connections on it: leaving ``async with`` closes them and waits until they are gone.

    It belongs to the event loop that first awaits on it or on what it made; awaiting in another loop is a
    RuntimeError, unless the first loop is closed. An endpoint that is dropped with all its sessions is closed.
    """

    def __init__(self, native: _native.Endpoint) -> None:
        self._native = native
        self._home = Home(native.attach)
        self._token = tokens()

    def close(self, code: int = 0, reason: str = "") -> None:
        """Close every connection, with an application's CONNECTION_CLOSE; closing again does nothing.

        What was not delivered is lost: close the sessions first to have it delivered. Source: RFC 9000 §10.2.

        Args:
            code: For the peers' applications, below 2**62, else ValueError.
            reason: For people; only the beginning of a long one fits.
        """
        check_code(code)
        self._native.close(code, encoded_reason(reason))

    async def wait_closed(self) -> None:
        """Wait until all connections have ended after `close`: the peers were told, but need not have answered. It never raises."""
        bridge = self._home.enter()
        while not self._native.gone(self._token + _GONE):
            await bridge.woken(self._token + _GONE)

    def stats(self) -> EndpointStats:
        """What the endpoint keeps now, and what it has done so far; also after its end."""
        return EndpointStats(**self._native.stats())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
        await self.wait_closed()

    def __repr__(self) -> str:
        host, port = self._native.local_addr
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"<{type(self).__name__} {address} {'closed' if self._native.closed else 'open'}>"

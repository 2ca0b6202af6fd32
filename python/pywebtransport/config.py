"""Configurations of clients and servers: values that are checked when they are made, and never change.

Durations are seconds and sizes bytes. Each field is declared once, with what is allowed.
"""

import math
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

from .constants import DEFAULT_PORT, DEFAULT_USER_AGENT, MIB
from .exceptions import ConfigurationError
from .types import Headers

__all__ = ["ClientConfig", "ServerConfig"]


class _Check(NamedTuple):
    allowed: str
    accepts: Callable[[Any], bool]

    def or_none(self) -> "_Check":
        return _Check(f"{self.allowed}, or None", lambda value: value is None or self.accepts(value))


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _integer(least: int, most: int) -> _Check:
    allowed = f"a whole number from {least} to {most}"
    return _Check(allowed, lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most)


def _choice(*words: str) -> _Check:
    return _Check(f"one of {', '.join(map(repr, words))}", lambda value: value in words)


def _is_sequence_of(kind: type, value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and all(isinstance(each, kind) for each in value)


def _is_headers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, str) for pair in value.items() for part in pair)


def _is_hashes(value: Any) -> bool:
    return _is_sequence_of(bytes, value) and all(len(each) == 32 for each in value)


_SECONDS = _Check("a number of seconds from 0 on", _is_seconds)
_SOME_SECONDS = _Check("a number of seconds above 0", lambda value: _is_seconds(value) and value > 0)
_COUNT = _integer(1, 1 << 24)
_COUNT_OR_0 = _integer(0, 1 << 24)
_WINDOW = _integer(1, (1 << 62) - 1)
_STRING = _Check("a string", lambda value: isinstance(value, str))
_STRINGS = _Check("a sequence of strings", lambda value: _is_sequence_of(str, value))
_PATH = _Check("the path of a PEM file", lambda value: isinstance(value, str | os.PathLike))
_HEADERS = _Check("a mapping of names to values, all strings", _is_headers)
_HASHES = _Check("a sequence of SHA-256 hashes, 32 bytes each", _is_hashes)
_VERIFY_MODE = _Check("ssl.CERT_NONE, ssl.CERT_OPTIONAL or ssl.CERT_REQUIRED", lambda value: value in list(ssl.VerifyMode))


def _setting(default: Any, check: _Check) -> Any:
    """A field with a check; as a default value, which type checkers take it for, it fits every type."""
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata={"check": check})
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, kw_only=True)
class _Config:
    """What clients and servers have in common."""

    close_timeout: float = _setting(5.0, _SECONDS)
    """How long closing may take: a session's, until the peer knows; a server's, until its sessions have ended by themselves."""

    congestion_control_algorithm: str = _setting("cubic", _choice("bbr", "cubic", "reno"))
    """What governs the sending rate: "bbr" keeps queues short, "cubic" fills fast paths; "reno" is CUBIC too, which acts like Reno
    on paths that suit that (RFC 9438 §4.3)."""

    connection_receive_window: int = _setting(16 * MIB, _WINDOW)
    """Bytes that a peer may send on all streams of a connection before they are read (RFC 9000 §4.1)."""

    connection_send_window: int = _setting(16 * MIB, _WINDOW)
    """Bytes of a connection that are kept until the peer has acknowledged them; writes wait for room."""

    stream_receive_window: int = _setting(8 * MIB, _WINDOW)
    """Bytes that a peer may send on one stream before they are read (RFC 9000 §4.1): 8 MiB let 80 MB through in a second where a
    round trip takes 100 ms."""

    initial_max_data: int = _setting(16 * MIB, _integer(1, (1 << 32) - 1))
    """Bytes that a peer may send on one session before they are read, if it has flow control of sessions (WT §5)."""

    initial_max_streams_bidi: int = _setting(100, _COUNT_OR_0)
    """Not used: `max_streams_bidi` holds from the beginning."""

    initial_max_streams_uni: int = _setting(100, _COUNT_OR_0)
    """Not used: `max_streams_uni` holds from the beginning."""

    keep_alive_interval: float | None = _setting(30.0, _SECONDS.or_none())
    """How long a connection may be silent before the peer is asked for a sign of life; None or 0: never. After longer than 30 seconds
    many routers forget it (RFC 9000 §10.1.2)."""

    max_idle_timeout: float | None = _setting(60.0, _SECONDS.or_none())
    """Silence after which a connection is given up; None or 0: never. The smaller one of both sides holds (RFC 9000 §10.1)."""

    max_capsule_size: int = _setting(65536, _COUNT)
    """Not used: the transport keeps no capsule that is longer than the longest it knows."""

    max_connections: int = _setting(65536, _COUNT)
    """Connections that there may be at once; more are refused."""

    max_sessions: int = _setting(64, _COUNT)
    """Sessions that there may be at once on one connection; more are refused (WT §5.2)."""

    max_streams_bidi: int = _setting(100, _COUNT)
    """Bidirectional streams of a peer that may be open at once on a connection: HTTP/3 expects 100 (RFC 9114 §6.1). The larger of this
    and `max_streams_uni` holds for both kinds."""

    max_streams_uni: int = _setting(100, _COUNT)
    """The same of unidirectional ones."""

    max_pending_streams: int = _setting(32, _COUNT_OR_0)
    """Streams that wait for their session on a connection; then the oldest is refused (WT §4.6)."""

    max_pending_datagrams: int = _setting(256, _COUNT_OR_0)
    """Datagrams that wait for their session on a connection; then the oldest is dropped (WT §4.6)."""

    pending_event_ttl: float = _setting(5.0, _SOME_SECONDS)
    """How long streams and datagrams wait for their session."""

    max_field_section_size: int = _setting(65536, _integer(1024, 1 << 24))
    """Bytes of header fields that are taken from a peer, counted as RFC 9114 §4.2.2 says."""

    max_udp_payload_size: int = _setting(1472, _integer(1200, 65527))
    """Not used: the transport finds out what the path carries (RFC 8899)."""

    max_write_buffer_size: int = _setting(MIB, _COUNT)
    """Not used: a write waits as soon as the transport's buffer of the stream is full."""

    read_timeout: float | None = _setting(None, _SECONDS.or_none())
    """How long a read may wait; None: as long as the session lives, which a chat needs."""

    write_timeout: float | None = _setting(None, _SECONDS.or_none())
    """How long a write may wait for the peer to read; None: as long as the session lives."""

    stream_create_timeout: float | None = _setting(10.0, _SECONDS.or_none())
    """How long opening a stream may wait for the peer to permit one more."""

    certfile: str | os.PathLike[str] | None = _setting(None, _PATH.or_none())
    """The PEM file of this side's certificate, and of those that lead to its root."""

    keyfile: str | os.PathLike[str] | None = _setting(None, _PATH.or_none())
    """The PEM file of its key."""

    ca_certs: str | os.PathLike[str] | None = _setting(None, _PATH.or_none())
    """The PEM file of the roots that the peer's certificate may lead to; None: a client takes the system's."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, check = getattr(self, each.name), each.metadata["check"]
            if not check.accepts(value):
                raise ConfigurationError(f"{each.name} must be {check.allowed}: {value!r}", each.name, value)
        if (self.certfile is None) != (self.keyfile is None):
            missing = "certfile" if self.certfile is None else "keyfile"
            raise ConfigurationError(f"{missing} must be given too: a certificate is of no use without its key", missing, None)

    @classmethod
    def create(cls, **values: Any) -> Self:
        """The same as calling the class."""
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A configuration with *values*, by the names of the fields, and the defaults for the others.

        Raises:
            ConfigurationError: There is no such field, or a value is not allowed.
        """
        known = {each.name for each in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise ConfigurationError(f"{cls.__name__} has no field {name!r}: it has {', '.join(sorted(known))}", name, value)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name; `from_dict` takes it back."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def copy(self) -> Self:
        """Another configuration with the same values."""
        return replace(self)

    def update(self, **values: Any) -> Self:
        """A configuration with these values instead of those that it has; ConfigurationError, as for `from_dict`."""
        return self.from_dict({**self.to_dict(), **values})


@dataclass(frozen=True, kw_only=True)
class ClientConfig(_Config):
    """What a client does; every field has a default that suits the Internet."""

    connect_timeout: float = _setting(30.0, _SECONDS)
    """How long `connect` may take, names and addresses included."""

    connection_attempt_delay: float = _setting(0.25, _SECONDS)
    """How long an address of a host has to itself before the next is tried as well (RFC 8305 §5)."""

    headers: Headers = _setting({}, _HEADERS)
    """Header fields of every request."""

    user_agent: str | None = _setting(DEFAULT_USER_AGENT, _STRING.or_none())
    """The ``user-agent`` of every request; None: there is none."""

    verify_mode: ssl.VerifyMode = _setting(ssl.CERT_REQUIRED, _VERIFY_MODE)
    """`ssl.CERT_NONE` takes any certificate of a server, which is for tests only; the others verify it."""

    server_certificate_hashes: Sequence[bytes] | None = _setting(None, _HASHES.or_none())
    """SHA-256 hashes of the certificates to accept, whatever their names and issuers are, and no others: W3C WebTransport has the same."""

    wt_available_protocols: Sequence[str] = _setting((), _STRINGS)
    """Application protocols to offer to every server, the best first (WT §3.3)."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig(_Config):
    """What a server does; it needs a certificate and its key before it can listen."""

    bind_host: str = _setting("::", _STRING)
    """The address or the name to listen on; "::" takes IPv4 too."""

    bind_port: int = _setting(DEFAULT_PORT, _integer(0, 65535))
    """The UDP port to listen on; 0 takes a free one."""

    verify_mode: ssl.VerifyMode = _setting(ssl.CERT_NONE, _VERIFY_MODE)
    """Whether clients need certificates (`ssl.CERT_REQUIRED`) or may have some (`ssl.CERT_OPTIONAL`), which `ca_certs` verifies."""

    allowed_origins: Sequence[str] | None = _setting(None, _STRINGS.or_none())
    """Where pages may come from that ask for a session, as in ``["https://a.example"]``, or ``["*"]``; None: only from the server's
    own host (WT §3.2; RFC 6454)."""

"""Connecting to servers."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from math import inf
from os import PathLike
from typing import Literal, NamedTuple
from urllib.parse import quote, urlsplit

from . import _web_transport as _native
from ._arguments import check_seconds
from ._bridge import resolve, time_limit
from ._endpoint import CongestionControl, Dialect, Endpoint, key_log_path
from ._race import Race
from .errors import ConnectError, SessionRejected
from .headers import Headers, HeadersLike, encoded
from .session import Exchange, Session

_URL_CHARACTERS = "%/:?@!$&'()*+,;="  # what stays as it is in a path or a query (RFC 3986 §3.3), besides letters and digits
_NOT_IN_NAMES = re.compile(r"[^!-~]|[\"%<>\\^`{|}]")  # of hosts, though resolvers may take it (WHATWG URL §3.1)


class Client(Endpoint):
    """Opens sessions, all through one UDP socket; works without an event loop until something is awaited.

    A server is verified against the roots of the system, or by other roots, or by what is pinned, or not at all. Leaving ``async with``
    closes all connections with code 0.

    Args:
        ca_certificates: DER certificates of the roots to trust in place of the system's.
        server_certificate_hashes: SHA-256 hashes of the server certificates to accept, whatever their names and issuers are, while
            they are valid; an empty list accepts none.
        pin_rules: "w3c" asks of pinned certificates what browsers ask too: an ECDSA P-256 key, never RSA, and no more than 14 days
            from their first to their last. Source: W3C WebTransport, "custom certificate requirements".
        no_cert_verification: Accept any certificate: for tests only, since anybody can then be the server.
        certificate_chain: DER certificates to prove ourselves with to servers that ask, our own first.
        private_key: The key of the first certificate, DER (PKCS#8, SEC 1 or PKCS#1).
        congestion_control: "default" and "throughput" are CUBIC, which fills fast paths; "low_latency" is BBR, which keeps
            queues short.
        max_idle_timeout: Seconds of silence after which a connection is given up; None or 0: never.
        keep_alive_interval: Seconds of silence after which the peer is asked for a sign of life; None or 0: never.
        dialects: Versions of WebTransport to offer; of those that the peer offers too, the newest is used. With a server that has
            none of them in common, `connect` fails. Source: WT §7.1.
        keylog: A file to which TLS's secrets are appended, so that Wireshark and its kind can decrypt what is recorded, as anybody can
            who reads it; True takes its name from the environment's SSLKEYLOGFILE, if that is set. Source: the key log format of NSS.
        qlog_dir: A directory, made if there is none, for a ``.sqlog`` file of each connection, called after its first connection id and
            our side. A file is complete once its connection is forgotten, a moment after its end, at the latest when `wait_closed`
            returns. Source: draft-ietf-quic-qlog-main-schema.
        stream_receive_window: Bytes that a peer may send on one stream before they are read here; QUIC lets that many wait.
        session_receive_window: The same for all streams of a session together, if the peer has flow control of sessions.
        receive_window: The same for all streams of a connection together.
        send_window: Bytes per connection that are kept until the peer has acknowledged them; writes wait for room.
        max_streams: Streams of the peer that may be open at once on a connection, for each direction.
        max_header_bytes: Header fields that are taken from a peer, counted as RFC 9114 §4.2.2 says; a longer answer is a ConnectError.
        max_pending_streams: Streams that wait for their session on a connection; then the oldest is refused (WT §4.6).
        max_pending_datagrams: Datagrams that wait for their session on a connection; then the oldest is dropped.
        pending_timeout: Seconds that streams and datagrams wait for their session, more than 0.
        connection_attempt_delay: Seconds that an address of a host has to itself before the next is tried as well (RFC 8305 §5).
    Raises:
        ValueError: More than one way to verify is given, a certificate or key cannot be used, or an option is out of range.
        OSError: The file or the directory to write logs to cannot be opened.
    """

    def __init__(
        self,
        *,
        server_certificate_hashes: list[bytes] | None = None,
        no_cert_verification: bool = False,
        congestion_control: CongestionControl = "default",
        max_idle_timeout: float | None = 30,
        keep_alive_interval: float | None = None,
        ca_certificates: list[bytes] | None = None,
        pin_rules: Literal["w3c"] | None = None,
        certificate_chain: list[bytes] | None = None,
        private_key: bytes | None = None,
        dialects: Sequence[Dialect] = ("draft-02", "draft-07", "draft-16"),
        keylog: str | PathLike[str] | bool | None = None,
        qlog_dir: str | PathLike[str] | None = None,
        stream_receive_window: int = 8 * 1024 * 1024,
        session_receive_window: int = 12 * 1024 * 1024,
        receive_window: int = 16 * 1024 * 1024,
        send_window: int = 8 * 1024 * 1024,
        max_streams: int = 128,
        max_header_bytes: int = 64 * 1024,
        max_pending_streams: int = 32,
        max_pending_datagrams: int = 256,
        pending_timeout: float = 5,
        connection_attempt_delay: float = 0.25,
    ) -> None:
        check_seconds("connection_attempt_delay", connection_attempt_delay)
        self._attempt_delay = connection_attempt_delay
        super().__init__(
            _native.Endpoint.client(
                ca_certificates=ca_certificates,
                server_certificate_hashes=server_certificate_hashes,
                pin_rules=pin_rules,
                no_cert_verification=no_cert_verification,
                certificate_chain=certificate_chain,
                private_key=private_key,
                congestion_control=congestion_control,
                max_idle_timeout=max_idle_timeout,
                keep_alive_interval=keep_alive_interval,
                dialects=dialects,
                keylog=key_log_path(keylog),
                qlog_dir=qlog_dir,
                stream_receive_window=stream_receive_window,
                session_receive_window=session_receive_window,
                receive_window=receive_window,
                send_window=send_window,
                max_streams=max_streams,
                max_header_bytes=max_header_bytes,
                max_pending_streams=max_pending_streams,
                max_pending_datagrams=max_pending_datagrams,
                pending_timeout=pending_timeout,
            )
        )

    async def connect(
        self,
        url: str,
        *,
        headers: HeadersLike = (),
        subprotocols: Sequence[str] = (),
        require_subprotocol: bool = False,
        timeout: float | None = None,
        pool: bool = False,
    ) -> Session:
        """Open a session, on a connection of its own unless it may share one.

        Every address of the host is tried, IPv6 and IPv4 by turns, the best first; the next joins in when one has failed or
        taken its time, 250 ms by default. Cancelled, all attempts are given up. Source: WT §3.2; RFC 8305.

        Args:
            url: ``https://host[:port][/path][?query]``; the port is 443 by default.
            headers: More fields for the request, a mapping or pairs.
            subprotocols: Application protocols to offer, the best first: each 1 to 512 visible ASCII characters or spaces, and none
                twice. `Session.subprotocol` is the one that the server picked. Source: WT §3.3.
            require_subprotocol: Whether it is a failure if the server picks none.
            timeout: Seconds for all of it; None leaves it to the idle time-out of QUIC, which a server that never answers, but
                acknowledges, does not run into.
            pool: Whether to share a connection of this client with other sessions that may, to the same address and name: they are
                established without a handshake, and share congestion control and fate. Where the server takes no more sessions
                on a connection, or only one, this one gets another. A connection without sessions is kept for a second.
                Source: WT §5.
        Raises:
            ValueError: *url* is not such a URL, or a field or a subprotocol cannot be sent.
            TypeError: *url* is not a str, or *subprotocols* is one by itself.
            SessionRejected: The server answered with a status that is not 2xx.
            ConnectError: There was no answer; the text says why, for each address.
        """
        bridge = self._home.enter()
        if timeout not in (None, inf):
            check_seconds("timeout", timeout)
        if isinstance(subprotocols, str):  # a sequence of str, but not the one that was meant
            raise TypeError(f"subprotocols must be a list of str, not one by itself: {subprotocols!r}")
        if not isinstance(url, str):
            raise TypeError(f"url must be a str: {url!r}")
        target = _parse(url)
        native = _native.Target(*target.names, encoded(headers), list(subprotocols), require_subprotocol=require_subprotocol, pool=pool)
        race: Race | None = None
        limit = time_limit(timeout)
        try:
            async with limit:
                addresses = [(target.host, target.port)] if target.is_literal else await resolve(target.host, target.port)
                race = Race(addresses, lambda address: self._native.connect(address, native), self._attempt_delay)
                session = await race.run(bridge)
        except SessionRejected as error:
            error.add_note(f"connecting to {target.url}")
            raise
        except TimeoutError as error:
            if not limit.expired():  # the resolver's
                raise ConnectError(f"cannot connect to {target.authority}: cannot resolve its name: {error}") from error
            tried = race.result() if race else "its name was not resolved"
            raise ConnectError(f"cannot connect to {target.authority}: timed out after {timeout} s: {tried}") from None
        except OSError as error:
            raise ConnectError(f"cannot connect to {target.authority}: cannot resolve its name: {error.strerror or error}") from error
        except ConnectError as error:
            raise ConnectError(f"cannot connect to {target.authority}: {error}") from None
        response_headers, subprotocol = session.answer
        return Session(session, self._home, Exchange(target.url, Headers(headers), Headers(response_headers), subprotocol))


class _Target(NamedTuple):
    """A URL in the terms of DNS, TLS and HTTP."""

    host: str
    port: int
    is_literal: bool
    authority: str
    path: str  # with the query

    @property
    def url(self) -> str:
        """All of it, normalised."""
        return f"https://{self.authority}{self.path}"

    @property
    def names(self) -> tuple[str, str, str]:
        """What to call the server in TLS, which knows no final dot (RFC 6066 §3), and in HTTP."""
        return self.host.removesuffix("."), self.authority, self.path


@lru_cache(maxsize=64)  # it costs a tenth of what a connection on a fast network does, and most clients know but a few URLs
def _parse(url: str) -> _Target:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme != "https":
            raise ValueError("the scheme is not https")
        if not host:
            raise ValueError("there is no host")
        if "@" in parts.netloc:
            raise ValueError("it has user information")
        if "#" in url:
            raise ValueError("it has a fragment")  # W3C WebTransport: refused
        if port == 0:
            raise ValueError("the port is 0")
        is_literal = ":" in host or host.rpartition(".")[2].isdecimal()  # no top-level domain is a number (RFC 3696 §2)
        host = str(ip_address(host)) if is_literal else host.encode("idna").decode()
        if not is_literal and (wrong := _NOT_IN_NAMES.search(host)):
            raise ValueError(f"{wrong[0]!r} cannot be in the name of a host")
        path = quote(parts.path or "/", safe=_URL_CHARACTERS)
        query = "?" + quote(parts.query, safe=_URL_CHARACTERS) if parts.query else ""
    except ValueError as error:
        raise ValueError(f"not a URL to connect to: {url!r}: {error}") from None
    authority = f"[{host}]" if ":" in host else host
    if port not in (None, 443):
        authority += f":{port}"
    return _Target(host, port or 443, is_literal, authority, path + query)

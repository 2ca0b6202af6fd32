"""Accepting sessions."""

from collections.abc import Sequence
from os import PathLike
from time import monotonic
from typing import Literal, Self

from . import _web_transport as _native
from ._arguments import check_body, check_code, check_seconds
from ._bridge import Bridge, Home
from ._endpoint import CongestionControl, Dialect, Endpoint, key_log_path
from .errors import SessionError
from .headers import Headers, HeadersLike, encoded
from .http import HttpHandler, HttpService
from .session import Exchange, Session

_DRAINED = 2  # `shutdown` waits under the third of an endpoint's tokens


class SessionRequest:
    """A client's request for a session: answer it once. A request that is dropped unanswered is rejected with 404."""

    def __init__(self, native: _native.Request, home: Home) -> None:
        self._native = native
        self._home = home
        self._answer: str | None = None

    @property
    def url(self) -> str:
        """What the client connects to: ``https``, authority without a default port, path and query."""
        authority = self._native.authority.lower().removesuffix(":443")
        return f"https://{authority}{self._native.path or '/'}"

    @property
    def path(self) -> str:
        """The path of the URL, percent-encoded."""
        return self._native.path.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the path and its question mark; "" if nothing does."""
        return self._native.path.partition("?")[2]

    @property
    def headers(self) -> Headers:
        """The request's header fields."""
        return Headers(self._native.headers)

    @property
    def origin(self) -> str | None:
        """Where the page comes from that asks; None if it is a program that does. `Server` has checked it."""
        return self.headers.get("origin")

    @property
    def subprotocols(self) -> list[str]:
        """The application protocols that the client offers, the one it likes best first. Source: WT §3.3."""
        return self._native.subprotocols

    @property
    def dialect(self) -> str:
        """The version of WebTransport that both sides speak, such as "draft-02"."""
        return self._native.dialect

    @property
    def remote_address(self) -> tuple[str, int]:
        """The client's address and port."""
        return self._native.remote_address

    @property
    def connection_id(self) -> int:
        """A number that requests and sessions have in common if they are on one connection of the server."""
        return self._native.connection_id

    @property
    def client_certificates(self) -> list[bytes]:
        """What the client proved itself with, DER, its own certificate first; empty if it did not. The server has verified it."""
        return self._native.client_certificates

    async def accept(self, *, status_code: int = 200, subprotocol: str | None = None, headers: HeadersLike = ()) -> Session:
        """Establish the session.

        Args:
            status_code: 200 to 299; peers take any of them (WT §3.2).
            subprotocol: One of `subprotocols`, to be spoken from now on; None says nothing about it.
            headers: More fields for the answer.
        Raises:
            ValueError: *status_code* is out of range, the client did not offer *subprotocol*, or a field cannot be sent.
            SessionError: The request was already answered, or the client has gone.
        """
        self._home.enter()
        if not 200 <= status_code <= 299:
            raise ValueError(f"cannot accept with HTTP status {status_code}")
        self._check_unanswered()
        native = self._native.accept(status_code, encoded(headers), subprotocol)
        self._answer = "accepted"
        return Session(native, self._home, Exchange(self.url, self.headers, Headers(headers), subprotocol))

    async def reject(self, status_code: int = 404, *, headers: HeadersLike = (), body: bytes = b"") -> None:
        """Refuse the session with an HTTP status.

        Args:
            status_code: 300 to 999, else ValueError: a 2xx would accept, and a 1xx would not be an answer (RFC 9110 §15).
            headers: Fields of the answer, such as ``location`` or ``retry-after``.
            body: What more there is to say; browsers do not show it.
        Raises:
            TypeError: *body* is not bytes.
            ValueError: A field cannot be sent.
            SessionError: The request was already answered, or the client has gone.
        """
        self._home.enter()
        if not 300 <= status_code <= 999:
            raise ValueError(f"cannot reject with HTTP status {status_code}")
        check_body(body)
        self._check_unanswered()
        self._native.reject(status_code, encoded(headers), body)
        self._answer = "rejected"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url} {self._answer or 'unanswered'}>"

    def _check_unanswered(self) -> None:
        if self._answer is not None:
            raise SessionError(f"session request was already {self._answer}")


class Server(Endpoint):
    """Listens for sessions; works without an event loop until something is awaited.

    Handshakes go on whether or not anybody awaits `accept`. Leaving ``async with`` closes all connections with code 0.

    Args:
        certificate_chain: DER certificates, the server's own first.
        private_key: The key of the first certificate, DER (PKCS#8, SEC 1 or PKCS#1).
        client_ca_certificates: DER certificates of the roots that sign clients' certificates; None: clients are not asked for one.
        require_client_certificate: Refuse clients without a certificate; one that is shown is verified in any case.
        bind: Address and port as literals; port 0 takes a free one, ``[::]`` takes IPv4 too.
        congestion_control: "default" and "throughput" are CUBIC, which fills fast paths; "low_latency" is BBR, which keeps
            queues short.
        max_idle_timeout: Seconds of silence after which a connection is given up; None or 0: never.
        keep_alive_interval: Seconds of silence after which the peer is asked for a sign of life; None or 0: never.
        dialects: Versions of WebTransport to offer; of those that the peer offers too, the newest is used. Chromium and Firefox need
            "draft-02", Safari "draft-07": it would prefer "draft-14", which is untested with it. Source: WT §7.1.
        allowed_origins: Where pages may come from that ask for a session, as in ``["https://a.example", "null"]``; ``["*"]`` allows all. By
            default it must be the host that they ask, on whatever port, and localhost, 127.0.0.1 and [::1] are one host. Others get a
            403. Programs send no origin, and are not asked for one. Source: WT §3.2; RFC 6454.
        http_handler: Answers plain HTTP/3 requests, in the server's event loop: called with an `HttpRequest`, it returns an
            `HttpResponse`, or a coroutine that does, within 10 seconds. It works from the first ``async with`` or `accept` on. Without
            it every such request gets a 404.
        max_connections: Connections at once, handshakes included; more are refused.
        max_pending_handshakes: Handshakes at once; more are refused. One that does not get on is given up after *request_timeout*.
        retry: When clients must prove their addresses by a Retry, which takes one more round trip, but keeps forged addresses
            from holding places and from being sent answers: "load" is while a quarter of `max_pending_handshakes` are under
            way. Source: RFC 9000 §8.1.2.
        reset_key: At least 32 secret bytes that a server knows again after a restart: then it resets connections of its former life at
            once, and their clients need not wait for a time-out. Servers behind one address share it. By default it is derived
            from *private_key*. Source: RFC 9000 §10.3.
        max_sessions: Sessions at once on one connection with flow control of sessions; more are refused with
            H3_REQUEST_REJECTED (WT §5.2).
        max_sessions_without_flow_control: The same for a peer that has none, such as a browser: there one session can hold up
            the others, so that more than 1 is for clients that you know (WT §5.1).
        request_timeout: Seconds that a client may take to send a request, more than 0.
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
        max_header_bytes: Header fields that are taken from a peer, counted as RFC 9114 §4.2.2 says; a request with more is rejected
            with 431, or costs its client the connection.
        max_pending_streams: Streams that wait for their session on a connection; then the oldest is refused (WT §4.6).
        max_pending_datagrams: Datagrams that wait for their session on a connection; then the oldest is dropped.
        pending_timeout: Seconds that streams and datagrams wait for their session, more than 0.
    Raises:
        ValueError: The address cannot be bound, certificate and key do not fit each other, or an option is out of range.
        OSError: The file or the directory to write logs to cannot be opened.
    """

    def __init__(
        self,
        *,
        certificate_chain: list[bytes],
        private_key: bytes,
        bind: str = "[::]:4433",
        congestion_control: CongestionControl = "default",
        max_idle_timeout: float | None = 30,
        keep_alive_interval: float | None = None,
        dialects: Sequence[Dialect] = ("draft-02", "draft-07", "draft-16"),
        allowed_origins: Sequence[str] | None = None,
        http_handler: HttpHandler | None = None,
        client_ca_certificates: list[bytes] | None = None,
        require_client_certificate: bool = False,
        max_connections: int = 65_536,
        max_pending_handshakes: int = 4096,
        retry: Literal["never", "load", "always"] = "load",
        reset_key: bytes | None = None,
        max_sessions: int = 64,
        max_sessions_without_flow_control: int = 1,
        request_timeout: float = 10,
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
    ) -> None:
        if http_handler is not None and not callable(http_handler):
            raise TypeError(f"http_handler must be callable, or None: {http_handler!r}")
        super().__init__(
            _native.Endpoint.server(
                certificate_chain=certificate_chain,
                private_key=private_key,
                client_ca_certificates=client_ca_certificates,
                require_client_certificate=require_client_certificate,
                bind=bind,
                congestion_control=congestion_control,
                max_idle_timeout=max_idle_timeout,
                keep_alive_interval=keep_alive_interval,
                dialects=dialects,
                allowed_origins=allowed_origins,
                http_requests=http_handler is not None,
                max_connections=max_connections,
                max_pending_handshakes=max_pending_handshakes,
                retry=retry,
                reset_key=reset_key,
                max_sessions=max_sessions,
                max_sessions_without_flow_control=max_sessions_without_flow_control,
                request_timeout=request_timeout,
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
        self._http = None if http_handler is None else HttpService(self._native.http(), http_handler)

    @property
    def local_addr(self) -> tuple[str, int]:
        """The address and port that the server listens on."""
        return self._native.local_addr

    def reload_certificates(self, certificate_chain: list[bytes], private_key: bytes) -> None:
        """Use another certificate for new connections; sessions go on.

        Raises:
            ValueError: Certificate and key do not fit each other; the old ones stay in use.
        """
        self._native.reload_certificates(certificate_chain, private_key)

    def drain(self) -> None:
        """Take no more sessions, and ask those that there are to end soon; draining again does nothing.

        New connections are refused, and so are new requests on old connections. Requests that came before can still be
        accepted; `accept` goes on waiting until the server is closed. Every session is `Session.draining` on both sides
        and goes on until someone closes it. Source: RFC 9114 §5.2; WT §4.7.
        """
        self._native.drain()

    async def shutdown(self, *, timeout: float, code: int = 0, reason: str = "") -> None:
        """Drain, give the sessions time to end, then close: after this the server is gone.

        Returns as soon as the last session has ended, on both sides. Cancelled, it closes at once.

        Args:
            timeout: Seconds that sessions have, at least 0; what is still open then is closed with *code* and *reason*.
            code: For the applications of those peers, as for `close`.
            reason: For people, as for `close`.
        Raises:
            ValueError: *timeout* or *code* is out of range. What the network does raises nothing.
        """
        check_seconds("timeout", timeout)
        check_code(code)
        bridge = self._home.enter()
        deadline = monotonic() + timeout
        try:
            self.drain()
            while not self._native.drained(self._token + _DRAINED) and (left := deadline - monotonic()) > 0:
                await bridge.woken_within(self._token + _DRAINED, left)
        finally:
            self.close(code, reason)
        await self.wait_closed()

    async def accept(self) -> SessionRequest | None:
        """Wait for a client's request for a session; None once the server is closed. It never raises, and a cancelled accept loses none."""
        bridge = self._enter()
        while (request := self._native.accept(self._token)) is None:
            if self._native.closed:
                return None
            await bridge.woken(self._token)
        return SessionRequest(request, self._home)

    def _enter(self) -> Bridge:
        bridge = self._home.enter()
        if self._http is not None:
            self._http.start(bridge)
        return bridge

    async def __aenter__(self) -> Self:
        if self._http is not None:
            self._enter()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionRequest:
        if (request := await self.accept()) is None:
            raise StopAsyncIteration
        return request

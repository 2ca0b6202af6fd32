"""The native surface: private, non-blocking, one line each; `web_transport` is what users see.

A call that cannot finish yet returns ``None`` and parks ``token``: the endpoint's mailbox gets that number once it is worth
calling again. A parked token is given back at most once, perhaps for nothing; after a wake the caller looks again. Tokens
are any ``int`` below 2**64.
Errors are raised as the classes of ``web_transport.errors``.
"""

from collections.abc import Sequence
from typing import Any, final

from typing_extensions import Buffer

__all__ = [
    "Connecting",
    "Endpoint",
    "Exporting",
    "HttpRequest",
    "HttpRequests",
    "Mailbox",
    "RecvStream",
    "Request",
    "SendStream",
    "Session",
    "Target",
    "__version__",
    "after_fork_in_child",
    "certificate_hash",
    "generate_self_signed",
    "init_tracing",
    "pem_certificates",
    "pem_private_key",
]

__version__: str

def generate_self_signed(subject_alt_names: list[str], validity: float | None) -> tuple[bytes, bytes]: ...  # seconds
def certificate_hash(certificate_der: bytes) -> bytes: ...
def pem_certificates(text: bytes) -> list[bytes]: ...  # ValueError
def pem_private_key(text: bytes) -> bytes: ...  # ValueError
def init_tracing(directives: str) -> bool: ...  # False: it was called before
def after_fork_in_child() -> None: ...

@final
class Mailbox:
    """Tokens on their way to one event loop, and the bell that announces them."""

    def __new__(cls) -> Mailbox: ...
    def fileno(self) -> int: ...  # readable while tokens wait
    def drain(self) -> list[int]: ...  # silences the bell, turns the endpoints that it rang for, and takes every token
    def attend(self) -> None: ...  # promises a flush: until then the bell does not ring for endpoints that have something to send
    def flush(self) -> list[int] | None: ...  # turns those endpoints and takes every token; None: there are none

@final
class Endpoint:
    """A socket, its reactor thread and all connections on it. Dropping it closes it with code 0."""

    # options: those of web_transport.Server and Client that are only numbers, time-outs and choices; what is left out has its default

    @staticmethod
    def server(
        *,
        certificate_chain: Sequence[bytes],
        private_key: bytes,
        client_ca_certificates: Sequence[bytes] | None,
        require_client_certificate: bool,
        keylog: str | None,
        bind: str,
        **options: object,
    ) -> Endpoint: ...  # binds; ValueError for everything that is wrong
    @staticmethod
    def client(
        *,
        ca_certificates: Sequence[bytes] | None,
        server_certificate_hashes: Sequence[bytes] | None,
        pin_rules: str | None,
        no_cert_verification: bool,
        certificate_chain: Sequence[bytes] | None,
        private_key: bytes | None,
        keylog: str | None,
        **options: object,
    ) -> Endpoint: ...
    def attach(self, mailbox: Mailbox) -> None: ...  # where tokens go from now on; before the first parked token
    @property
    def local_addr(self) -> tuple[str, int]: ...
    @property
    def closed(self) -> bool: ...  # close() was called, or the reactor has died
    def reload_certificates(self, certificate_chain: Sequence[bytes], private_key: bytes) -> None: ...
    def accept(self, token: int) -> Request | None: ...  # None and `closed`: no more will come
    def http(self) -> HttpRequests: ...
    def connect(
        self, remote: tuple[str, int], target: Target
    ) -> Connecting: ...  # remote: an IP literal and a port; ConnectError if closed
    def drain(self) -> None: ...  # idempotent
    def drained(self, token: int) -> bool | None: ...  # True: the last session has gone after drain()
    def close(self, code: int, reason: bytes) -> None: ...  # idempotent; ValueError for a code >= 2**62
    def stats(self) -> dict[str, int]: ...  # the fields of EndpointStats
    def gone(self, token: int) -> bool | None: ...  # True: every connection has ended, the socket is closed

@final
class Target:
    """What a client asks for, checked, wherever the server may be."""

    def __new__(
        cls,
        server_name: str,
        authority: str,
        path: str,
        headers: Sequence[tuple[str, bytes]],
        subprotocols: Sequence[str],
        *,
        require_subprotocol: bool,
        pool: bool,
    ) -> Target: ...  # ValueError: a header or a subprotocol cannot be sent

@final
class HttpRequests:
    """Where a server's plain requests come out; it does not keep the endpoint open."""

    def next(self, token: int) -> HttpRequest | None: ...  # None and `closed`: no more will come
    @property
    def closed(self) -> bool: ...

@final
class HttpRequest:
    """A plain request. Dropping it unanswered answers with 500."""

    @property
    def method(self) -> str: ...
    @property
    def authority(self) -> str: ...
    @property
    def path(self) -> str: ...  # with its query
    @property
    def headers(self) -> list[tuple[str, bytes]]: ...
    @property
    def remote_address(self) -> tuple[str, int]: ...
    def answer(self, status: int, headers: Sequence[tuple[str, bytes]], body: bytes) -> None: ...  # ValueError: a header cannot be sent

@final
class Connecting:
    """An attempt to connect. Dropping it before `poll` returned the session cancels it."""

    def poll(self, token: int) -> Session | None: ...  # ConnectError, SessionRejected
    def asked(self, token: int) -> bool: ...

@final
class Exporting:
    """Keying material that was asked for."""

    def poll(self, token: int) -> bytes | None: ...  # SessionError

@final
class Request:
    """A client's request for a session. Dropping it unanswered rejects it with 404."""

    @property
    def authority(self) -> str: ...
    @property
    def path(self) -> str: ...  # with its query
    @property
    def headers(self) -> list[tuple[str, bytes]]: ...
    @property
    def remote_address(self) -> tuple[str, int]: ...
    @property
    def connection_id(self) -> int: ...
    @property
    def client_certificates(self) -> list[bytes]: ...
    @property
    def dialect(self) -> str: ...
    @property
    def subprotocols(self) -> list[str]: ...
    # SessionError: the client has gone; ValueError: a header cannot be sent, or the subprotocol was not offered
    def accept(self, status: int, headers: Sequence[tuple[str, bytes]], subprotocol: str | None) -> Session: ...
    def reject(self, status: int, headers: Sequence[tuple[str, bytes]], body: bytes) -> None: ...

@final
class Session:
    """An established session. Dropping it closes it with ``(0, "")``."""

    # Opening: one stream for each token that asks, so callers that wait at once have a token each, and one that gives up
    # leaves its token, and with it the stream that is still to come, to the next
    def open_bi(self, token: int) -> tuple[SendStream, RecvStream] | None: ...
    def open_uni(self, token: int) -> SendStream | None: ...
    def accept_bi(self, token: int) -> tuple[SendStream, RecvStream] | None: ...
    def accept_uni(self, token: int) -> RecvStream | None: ...
    def send_datagram(self, data: Buffer) -> bool: ...  # queued; False: the queue is above its high-water mark
    def datagrams_sent(self, token: int) -> bool | None: ...  # True: the queue is below its high-water mark
    def receive_datagram(self, token: int) -> bytes | None: ...
    def drain(self) -> None: ...  # idempotent
    @property
    def is_draining(self) -> bool: ...
    def draining(self, token: int) -> bool | None: ...  # True: we or the peer asked for the end
    # What the queues of datagrams keep, each way: the age in seconds, how many, and whether the newest goes if they are more
    @property
    def datagram_limits(self) -> tuple[tuple[float | None, int, bool], tuple[float | None, int, bool]]: ...  # out, in
    def limit_outgoing(self, max_age: float | None, max_buffered: int, drop_newest: bool) -> None: ...
    def limit_incoming(self, max_age: float | None, max_buffered: int, drop_newest: bool) -> None: ...
    def export_keying_material(self, label: bytes, context: bytes, length: int) -> Exporting: ...  # SessionError
    def close(self, code: int, reason: str) -> None: ...  # OverflowError: no u32
    def gone(self, token: int) -> bool | None: ...  # True: the peer has closed the CONNECT stream, or was given up on
    @property
    def close_reason(self) -> Exception | None: ...
    @property
    def max_datagram_size(self) -> int: ...  # DatagramNotSupportedError
    @property
    def remote_address(self) -> tuple[str, int]: ...
    @property
    def connection_id(self) -> int: ...
    @property
    def rtt(self) -> float: ...
    def connection_stats(self) -> dict[str, Any]: ...  # the fields of SessionStats but `datagrams`
    def datagram_stats(self) -> dict[str, int]: ...  # those of DatagramStats that are known
    @property
    def dialect(self) -> str: ...
    @property
    def answer(self) -> tuple[list[tuple[str, bytes]], str | None]: ...  # client: the answer's fields, and the subprotocol

@final
class SendStream:
    """The sending half. Dropping it unfinished resets it with code 0."""

    @property
    def stream_id(self) -> int: ...
    def write(self, data: Buffer, token: int) -> int | None: ...  # bytes left, fewer than data has unless that is empty
    def finish(self) -> None: ...
    def reset(self, code: int) -> None: ...
    def closed(self, token: int) -> tuple[int | None] | None: ...  # the peer's stop code, or (None,) once all is acknowledged
    def set_send_order(self, group: int, order: int) -> None: ...
    @property
    def send_order(self) -> int: ...
    def stats(self) -> tuple[int, int, int | None]: ...  # bytes written, sent, acknowledged; None: not all, and how many is unknown

@final
class RecvStream:
    """The receiving half. Dropping it before its end stops it with code 0."""

    @property
    def stream_id(self) -> int: ...
    def read(self, n: int, token: int) -> bytes | None: ...  # 1 to n bytes, as many as are there; b"" at the end; n = 0 never waits
    def readinto(self, buffer: Buffer, token: int) -> int | None: ...  # as read; TypeError: not writable
    def stats(self) -> tuple[int, int]: ...  # bytes received, read
    def stop(self, code: int) -> None: ...
    def closed(self, token: int) -> tuple[int | None] | None: ...  # the peer's reset code, or (None,) at the end

"""What a benchmark needs of a library: the adapters give this, the scenarios use nothing else.

An adapter is a module of `benchmarks.adapters` with two functions, `serve` and `client`, as `Library` declares them. Sessions and
streams are bundles of callables, so that where a library's own methods fit, they are called without a layer in between.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol


class Stream(NamedTuple):
    """A bidirectional stream. A library that never makes a writer wait must be made to: nobody wins by buffering a gigabyte."""

    write: Callable[[bytes], Awaitable[object]]
    finish: Callable[[], Awaitable[object]]
    write_all: Callable[[bytes], Awaitable[object]]  # and finish, in one call where there is one
    read: Callable[[int], Awaitable[bytes]]  # what is there, up to so many bytes; b"" at the end
    read_all: Callable[[], Awaitable[bytes]]
    drain: Callable[[], Awaitable[int]] | None = None  # read to the end and count the bytes, where `read` is not the fast way


@dataclass(frozen=True, slots=True)
class Session:
    """A WebTransport session, or what comes closest."""

    open_bi: Callable[[], Awaitable[Stream]]
    accept_bi: Callable[[], Awaitable[Stream]]
    send_datagram: Callable[[bytes], Awaitable[object]]  # waits if the library can
    receive_datagram: Callable[[], Awaitable[bytes]]
    close: Callable[[], Awaitable[object]]  # need not wait until the peer knows
    dropped: Callable[[], int] = lambda: 0  # datagrams that this side has dropped, if the library counts them
    on_the_wire: Callable[[], tuple[int, int]] | None = None  # datagrams in the packets that left and that came, if it counts those


Handler = Callable[[str, Session], Awaitable[None]]  # the path, and the session that was accepted
Connect = Callable[[str], Awaitable[Session]]  # a path, on a connection of its own


class Library(Protocol):
    """An adapter."""

    OVER: tuple[type[Exception], ...]
    """What its calls raise once the peer has closed the session."""

    def serve(self, certificate: Path, key: Path, handler: Handler) -> AbstractAsyncContextManager[int]:
        """Listen on 127.0.0.1, each session in a task of its own; gives the port."""

    def client(self, port: int) -> AbstractAsyncContextManager[Connect]:
        """One client; it verifies no certificate."""

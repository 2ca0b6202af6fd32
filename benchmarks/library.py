"""What a benchmark needs of a library: the adapters give this, the scenarios use nothing else.

An adapter is a module of `benchmarks.adapters` with two functions, `serve` and `client`, as `Library` declares them. Where a library's own
methods fit, they are called without a layer in between. Streams are bundles of callables; sessions, of which a server has thousands, have
methods and slots, since what an adapter keeps for each counts as the library's memory.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
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


class Session(Protocol):
    """A WebTransport session, or what comes closest."""

    __slots__ = ()
    send_datagram: Callable[[bytes], Awaitable[object]]  # waits if the library can
    receive_datagram: Callable[[], Awaitable[bytes]]

    async def open_bi(self) -> Stream: ...

    async def accept_bi(self) -> Stream: ...

    async def close(self) -> None: ...  # need not wait until the peer knows

    def dropped(self) -> int:
        """Datagrams that this side has dropped, if the library counts them."""
        return 0

    def on_the_wire(self) -> tuple[int, int] | None:
        """Datagrams in the packets that left and that came, if it counts those."""
        return None


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

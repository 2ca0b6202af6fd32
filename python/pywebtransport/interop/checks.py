"""What a server of Devious Baton must do, checked from the client's side: thirteen rules, a session or more for each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from pywebtransport.client import WebTransportClient
from pywebtransport.exceptions import ConnectionError as FrameworkConnectionError
from pywebtransport.exceptions import HandshakeError, SessionError, StreamError
from pywebtransport.session import WebTransportSession

from . import baton
from .baton import SessionCode, StreamCode, decoded, encoded

__all__ = ["CHECKS", "Check", "CheckFailedError", "run_checks"]

_QUIET = 2.0  # seconds in which a server is to do nothing


class CheckFailedError(Exception):
    """A server does not do what a check asks for; the text says what it does."""


class Check(NamedTuple):
    """One rule."""

    name: str
    rule: str
    run: Callable[["_Server"], Awaitable[None]]


CHECKS: list[Check] = []


async def run_checks(
    client: WebTransportClient,
    origin: str,
    *,
    checks: list[Check] | None = None,
    patience: float = 5,
    report: Callable[[Check, str | None], object] = lambda *_: None,
) -> dict[str, str | None]:
    """Check a server.

    Args:
        client: What connects.
        origin: As in ``https://host:4433``; the path is the protocol's.
        checks: Which to make; None: all.
        patience: Seconds for what the server is to do.
        report: Called with each check that is over, and what failed.
    Returns:
        What failed, by the names of the checks; None where nothing did. No failure is raised.
    """
    results = {}
    for check in CHECKS if checks is None else checks:
        failure: str | None = None
        try:
            await check.run(_Server(client, origin, patience))
        except (CheckFailedError, FrameworkConnectionError, SessionError, StreamError) as error:
            failure = str(error)
        results[check.name] = failure
        report(check, failure)
    return results


class _Server:
    """The server that is checked."""

    def __init__(self, client: WebTransportClient, origin: str, patience: float) -> None:
        self._client, self._origin, self._patience = client, origin, patience

    @asynccontextmanager
    async def session(self, query: str) -> AsyncIterator[WebTransportSession]:
        """A game."""
        async with await self._client.connect(f"{self._origin}{baton.PATH}?{query}", timeout=self._patience) as session:
            yield session

    async def refuses(self, query: str) -> None:
        """Its answer is that the request is wrong, or that it was not even looked at."""
        try:
            async with self.session(query):
                pass
        except HandshakeError as error:
            if error.status_code is None or not 400 <= error.status_code < 500:
                raise CheckFailedError(f"it refuses with status {error.status_code}, which is not the client's fault") from error
        except FrameworkConnectionError as error:
            if "0x10b" not in str(error).lower() and "REQUEST_REJECTED" not in str(error):
                raise
        else:
            raise CheckFailedError(f"it accepts {query}")

    @asynccontextmanager
    async def to(self, what: str) -> AsyncIterator[None]:
        """It is to do something."""
        try:
            async with asyncio.timeout(self._patience):
                yield
        except TimeoutError as error:
            raise CheckFailedError(f"it does not {what} within {self._patience:g} s") from error

    async def begins(self, session: WebTransportSession, value: int) -> None:
        """It sends one of the batons that a game begins with."""
        async with self.to("send the first baton"):
            _be("the first baton", await baton.receive(await session.accept_unidirectional_stream()), value)

    async def closes(self, session: WebTransportSession, code: int) -> None:
        """It ends the game."""
        async with self.to("close the session"):
            await session.wait_closed()
        _be("the session's code", session.close_code, code)


def _check(rule: str) -> Callable[[Callable[[_Server], Awaitable[None]]], Callable[[_Server], Awaitable[None]]]:
    def decorate(run: Callable[[_Server], Awaitable[None]]) -> Callable[[_Server], Awaitable[None]]:
        CHECKS.append(Check(run.__name__, rule, run))
        return run

    return decorate


def _be(what: str, found: object, right: object) -> None:
    if found != right:
        raise CheckFailedError(f"{what} is {found}, and not {right}")


@_check("an unknown version is refused")
async def version(server: _Server) -> None:
    await server.refuses("version=99")


@_check("too many batons are refused")
async def count(server: _Server) -> None:
    await server.refuses("count=999999")


@_check("a baton that does not begin with 1 to 255 is refused")
async def value(server: _Server) -> None:
    await server.refuses("baton=0")


@_check("every baton begins on a unidirectional stream of its own")
async def begin(server: _Server) -> None:
    async with server.session("count=3&baton=10") as session:
        for _ in range(3):
            await server.begins(session, 10)


@_check("a baton on a bidirectional stream is answered on the same stream")
async def reply(server: _Server) -> None:
    async with server.session("baton=10") as session:
        await server.begins(session, 10)
        stream = await session.create_bidirectional_stream()
        await stream.write_all(encoded(11))
        async with server.to("answer on the client's bidirectional stream"):
            _be("the answer", await baton.receive(stream), 12)


@_check("a unidirectional stream is answered with a bidirectional one, and its answer with a unidirectional one")
async def alternate(server: _Server) -> None:
    async with server.session("baton=10") as session:
        await server.begins(session, 10)
        await (await session.create_unidirectional_stream()).write_all(encoded(50))
        async with server.to("answer with a bidirectional stream"):
            stream = await session.accept_bidirectional_stream()
            _be("the answer", await baton.receive(stream), 51)
        await stream.write_all(encoded(52))
        async with server.to("answer with a unidirectional stream"):
            _be("the answer to the answer", await baton.receive(await session.accept_unidirectional_stream()), 53)


@_check("a baton that divides by 7 comes as a datagram too")
async def datagram(server: _Server) -> None:
    async with server.session("baton=10") as session:
        await (await session.create_unidirectional_stream()).write_all(encoded(7))
        async with server.to("send a datagram"):
            _be("the baton of the datagram", decoded(await session.read_datagram()), 7)


@_check("a baton that divides by 5 comes with padding")
async def padding(server: _Server) -> None:
    async with server.session("baton=20") as session:
        async with server.to("send the first baton"):
            message = await (await session.accept_unidirectional_stream()).read_all(max_bytes=1 << 20)
        _be("the first baton", decoded(message), 20)
        if len(message) == len(encoded(20)):
            raise CheckFailedError("the message has no padding")


@_check("what is not a message closes the session with BRUH")
async def malformed(server: _Server) -> None:
    async with server.session("baton=10") as session:
        await (await session.create_unidirectional_stream()).write_all(encoded(0, 100)[:2] + b"\0")
        await server.closes(session, SessionCode.BRUH)


@_check("an answer with another baton closes the session with SUS")
async def unexpected(server: _Server) -> None:
    async with server.session("baton=10") as session:
        await server.begins(session, 10)
        await (await session.create_bidirectional_stream()).write_all(encoded(99))
        await server.closes(session, SessionCode.SUS)


@_check("what the server sends on a stream that the client stops or resets is reset with WHATEVER")
async def abandoned(server: _Server) -> None:
    async with server.session("count=3&baton=10") as session:
        stopped, lost = await session.create_bidirectional_stream(), await session.create_bidirectional_stream()
        await stopped.stop_receiving(StreamCode.IDC)  # the code of the answer does not reach a client that reads no more
        await lost.write(encoded(0, 100)[:2])
        await lost.reset(StreamCode.I_LIED)
        try:
            async with server.to("answer the reset"):
                await baton.receive(lost)
        except StreamError as error:
            _be("the code of the server's reset", error.error_code, StreamCode.WHATEVER)
        except baton.MalformedError as error:
            raise CheckFailedError("it finishes a stream that the client has reset") from error


@_check("a stream that the client resets with I_LIED does not end the game")
async def lie(server: _Server) -> None:
    async with server.session("baton=10") as session:
        stream = await session.create_unidirectional_stream()
        await stream.write(encoded(0, 100)[:2])
        await stream.reset(StreamCode.I_LIED)
        try:
            async with asyncio.timeout(_QUIET):
                await session.wait_closed()
        except TimeoutError:
            return
        raise CheckFailedError(f"it closes the session with code {session.close_code}")


@_check("the session ends with code 0 when its last baton has come to 0")
async def end(server: _Server) -> None:
    async with server.session("baton=255") as session:
        await server.begins(session, 255)
        await (await session.create_bidirectional_stream()).write_all(encoded(0))
        await server.closes(session, 0)

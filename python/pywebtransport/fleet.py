"""Fleets: several clients that act as one."""

import asyncio
import itertools
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from .client import WebTransportClient
from .exceptions import ClientError
from .session import WebTransportSession
from .types import Headers

__all__ = ["ClientFleet"]


class ClientFleet:
    """Several clients, each with a UDP socket of its own: leaving ``async with`` closes them all.

    Args:
        clients: The clients.
    Raises:
        ValueError: There are none.
    """

    def __init__(self, clients: Iterable[WebTransportClient]) -> None:
        self._clients = list(clients)
        if not self._clients:
            raise ValueError("a fleet has one client at least")
        self._turns = itertools.cycle(self._clients)

    @property
    def clients(self) -> list[WebTransportClient]:
        """All of them."""
        return list(self._clients)

    def get_client_count(self) -> int:
        """How many they are."""
        return len(self._clients)

    def get_client(self) -> WebTransportClient:
        """The client whose turn it is: one after the other, then the first again. Those that are closed have none.

        Raises:
            ClientError: All are closed.
        """
        for client in itertools.islice(self._turns, len(self._clients)):
            if not client.is_closed:
                return client
        raise ClientError(f"all {len(self._clients)} clients of the fleet are closed")

    async def connect_all(self, url: str, *, headers: Headers | None = None, timeout: float | None = None) -> list[WebTransportSession]:
        """Open a session with each client, all at once. If one fails, or this is cancelled, the others are closed again.

        Args:
            url: What to connect to.
            headers: Header fields of the requests, over those of the clients.
            timeout: Seconds for all of it; None: each client's ``connect_timeout``.
        Returns:
            The sessions, in the order of the clients.
        Raises:
            ConnectionError: One could not connect; as for `WebTransportClient.connect`.
            TimeoutError: One had no answer in time.
            ClientError: One is closed.
        """
        connecting = [asyncio.ensure_future(client.connect(url, headers=headers, timeout=timeout)) for client in self._clients]
        try:
            return list(await asyncio.gather(*connecting))
        except BaseException:
            for task in connecting:
                task.cancel()
            ended = await asyncio.gather(*connecting, return_exceptions=True)
            await asyncio.gather(*(session.close() for session in ended if isinstance(session, WebTransportSession)))
            raise

    async def close_all(self) -> None:
        """Close all clients with their sessions, and wait until the peers know; closing again does nothing, and it never raises."""
        await asyncio.gather(*(client.close() for client in self._clients))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close_all()

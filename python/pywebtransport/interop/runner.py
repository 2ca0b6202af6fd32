"""A role in the interop runner's test cases of WebTransport: ``python -m pywebtransport.interop.runner``.

The environment says what to do: ``ROLE`` (client or server), ``TESTCASE``, ``REQUESTS``, ``PROTOCOLS``, ``SSLKEYLOGFILE``, ``QLOGDIR``.
Files to give away are in ``/www/ENDPOINT``, those that come go to ``/downloads/ENDPOINT``, the certificate is in ``/certs``. A test
case that is not known ends with status 127.

Who wants a file asks for it with ``GET FILE``, and who has it answers: on a bidirectional stream with the file, on a unidirectional
stream or by datagram with ``PUSH FILE``, a newline and the file. Each session is for one endpoint, which its path names.
Source: quic-interop-runner, its protocol "webtransport".
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import web_transport
from web_transport import RecvStream, SendStream, Session, SessionRequest

__all__ = ["CASES", "Role", "UnknownCaseError", "run"]

_PACE = 0.02  # seconds between requests by datagram
_AGAIN = 1.0  # seconds after which those are made again that have no answer
_PATIENCE = 60.0  # seconds for all of it
_LONGEST_NAME = 1024  # bytes
_CHUNK = 256 * 1024  # bytes
_UNKNOWN = 127  # the status for a test case that this does not know

_T = TypeVar("_T")

_TRANSFERS = ("unidirectional", "bidirectional", "datagram")

CASES = {
    "client": ["handshake", "transfer", *(f"transfer-{kind}-receive" for kind in _TRANSFERS)],
    "server": ["handshake", "transfer", *(f"transfer-{kind}-send" for kind in _TRANSFERS)],
}
"""The test cases of each role."""


class UnknownCaseError(Exception):
    """There is no such test case, or it is not one of this role."""


class Role(NamedTuple):
    """What the environment asks for."""

    name: str
    case: str
    requests: list[str]
    protocols: list[str]
    qlog_dir: str | None
    root: Path
    """The directory in which ``www``, ``downloads`` and ``certs`` are."""

    @classmethod
    def of(cls, environment: Mapping[str, str], root: Path) -> "Role":
        """Read the environment.

        Raises:
            UnknownCaseError: It asks for what is not in `CASES`.
        """
        name, case = environment.get("ROLE", ""), environment.get("TESTCASE", "")
        if case not in CASES.get(name, ()):
            raise UnknownCaseError(f"no test case {case!r} for the role {name!r}")
        requests, protocols = environment.get("REQUESTS", "").split(), environment.get("PROTOCOLS", "").split()
        return cls(name, case, requests, protocols, environment.get("QLOGDIR") or None, root)

    @property
    def transfer(self) -> str | None:
        """How files are to come here; None: they are given away, if anything is transferred."""
        return self.case.split("-")[1] if self.case.count("-") == 2 else None

    @property
    def certificate(self) -> Path:
        """The PEM file of the server's certificate."""
        return self.root / "certs" / "cert.pem"


async def run(role: Role, port: int = 443) -> None:
    """Play a role: a client until its sessions are over, a server until it is cancelled.

    Args:
        role: What to do.
        port: The UDP port that a server listens on.
    Raises:
        OSError: A file cannot be read or written.
        TimeoutError: What was asked for did not come in a minute.
        WebTransportError: A session failed; the class says why.
    """
    await (_client(role) if role.name == "client" else _server(role, port))


async def _client(role: Role) -> None:
    wanted: dict[str, list[str]] = {}
    for url in role.requests:
        parts = urlsplit(url)
        endpoint, _, file = parts.path.lstrip("/").partition("/")
        files = wanted.setdefault(parts._replace(path=f"/{endpoint}").geturl(), [])
        files += [file] if file else []
    trust: dict[str, Any] = {"no_cert_verification": True}  # the simulated network has nobody in the middle
    if role.certificate.exists():
        trust = {"server_certificate_hashes": [web_transport.certificate_hash(web_transport.load_certificates(role.certificate)[0])]}
    async with web_transport.Client(**trust, keylog=True, qlog_dir=role.qlog_dir) as client, asyncio.TaskGroup() as tasks:
        for url, files in wanted.items():
            # all on one connection: there is to be one handshake
            session = await client.connect(url, subprotocols=role.protocols, pool=True, timeout=_PATIENCE)
            tasks.create_task(_play(role, session, urlsplit(url).path.strip("/"), files))


async def _server(role: Role, port: int) -> None:
    wanted: dict[str, list[str]] = {}
    for path in role.requests:
        endpoint, _, file = path.strip("/").partition("/")
        wanted.setdefault(endpoint, []).extend([file] if file else [])
    www = role.root / "www"
    endpoints = {path.name for path in www.iterdir() if path.is_dir()} if www.is_dir() else set()

    async def serve(request: SessionRequest) -> None:
        endpoint = request.path.strip("/")
        if endpoint not in endpoints | wanted.keys():
            await request.reject(404)
            return
        protocol = next((offered for offered in request.subprotocols if offered in role.protocols), None)
        try:
            await _play(role, await request.accept(subprotocol=protocol), endpoint, wanted.get(endpoint, []))
        except web_transport.SessionError as error:
            print(f"the session of {endpoint} is lost: {error}", file=sys.stderr)

    async with web_transport.Server(
        certificate_chain=web_transport.load_certificates(role.certificate),
        private_key=web_transport.load_private_key(role.certificate.with_name("priv.key")),
        bind=f"[::]:{port}",
        allowed_origins=["*"],
        retry="never",  # there is to be one handshake
        keylog=True,
        qlog_dir=role.qlog_dir,
    ) as server:
        print(f"listening on port {port}", flush=True)
        async with asyncio.TaskGroup() as tasks:
            async for request in server:
                tasks.create_task(serve(request))


async def _play(role: Role, session: Session, endpoint: str, files: list[str]) -> None:
    """One session, from its establishment to its end."""
    if role.case == "handshake":
        _stored(role.root / "downloads" / "negotiated_protocol.txt").write_text(session.subprotocol or "")
    elif role.transfer is not None:
        fetch = {"unidirectional": _fetch_uni, "bidirectional": _fetch_bidi, "datagram": _fetch_datagrams}[role.transfer]
        async with asyncio.timeout(_PATIENCE):
            await fetch(session, files, role.root / "downloads" / endpoint)
    else:
        await _give(session, role.root / "www" / endpoint)
    if role.name == "client" or role.transfer is not None:
        session.close()
    await session.wait_closed()


# The side that wants files


async def _fetch_bidi(session: Session, files: list[str], directory: Path) -> None:
    async def fetch(file: str) -> None:
        send, recv = await session.open_bi()
        async with send:
            await send.write(f"GET {file}".encode())
        await _save(recv, directory / Path(file).name)

    await _each(fetch, files)


async def _fetch_uni(session: Session, files: list[str], directory: Path) -> None:
    async def ask(file: str) -> None:
        async with await session.open_uni() as send:
            await send.write(f"GET {file}".encode())

    async def take(_: str) -> None:
        recv = await session.accept_uni()
        await _save(recv, directory / _pushed(await recv.readline(limit=_LONGEST_NAME)))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_each(ask, files))
        tasks.create_task(_each(take, files))


async def _fetch_datagrams(session: Session, files: list[str], directory: Path) -> None:
    missing = {Path(file).name: file for file in files}

    async def ask() -> None:
        while True:
            for file in list(missing.values()):
                await session.send_datagram(f"GET {file}".encode())
                await asyncio.sleep(_PACE)
            await asyncio.sleep(_AGAIN)  # a datagram may get lost

    asking = asyncio.create_task(ask())
    try:
        while missing:
            head, newline, content = (await session.receive_datagram()).partition(b"\n")
            name = _pushed(head + newline)
            _stored(directory / name).write_bytes(content)
            missing.pop(name, None)
    finally:
        asking.cancel()


async def _save(recv: RecvStream, path: Path) -> None:
    with _stored(path).open("wb") as file:
        async for chunk in recv:
            file.write(chunk)


def _pushed(line: bytes) -> str:
    """The name in the line that comes before a file; what it says of directories does not count."""
    text = line.decode()
    name = Path(text.removeprefix("PUSH ").strip()).name
    if not text.startswith("PUSH ") or not text.endswith("\n") or not name:
        raise ValueError(f"not a PUSH: {line!r}")
    return name


# The side that has files


async def _give(session: Session, directory: Path) -> None:
    """Answer requests of all kinds until the session is over."""

    async def on_bidi(pair: tuple[SendStream, RecvStream]) -> None:
        send, recv = pair
        async with send:
            await _send(send, _asked(directory, await recv.read(limit=_LONGEST_NAME)))

    async def on_uni(recv: RecvStream) -> None:
        path = _asked(directory, await recv.read(limit=_LONGEST_NAME))
        async with await session.open_uni() as send:
            await send.write(f"PUSH {path.name}\n".encode())
            await _send(send, path)

    async def on_datagram(data: bytes) -> None:
        path = _asked(directory, data)
        await session.send_datagram(f"PUSH {path.name}\n".encode() + path.read_bytes())

    with suppress(web_transport.SessionError):
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_serve(session.accept_bi, on_bidi))
                tasks.create_task(_serve(session.accept_uni, on_uni))
                tasks.create_task(_serve(session.receive_datagram, on_datagram))
        except* web_transport.SessionError:
            pass  # the other side has what it wanted


async def _serve(accept: Callable[[], Awaitable[_T]], answer: Callable[[_T], Awaitable[None]]) -> None:
    async def quietly(asked: _T) -> None:
        try:
            await answer(asked)
        except (OSError, ValueError, web_transport.StreamError, web_transport.DatagramError) as error:
            print(f"a request is not answered: {error}", file=sys.stderr)

    async with asyncio.TaskGroup() as tasks:
        while True:
            tasks.create_task(quietly(await accept()))


async def _send(send: SendStream, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            await send.write(chunk)


def _asked(directory: Path, request: bytes) -> Path:
    """The file that somebody asks for, if there is one and it is in the directory."""
    text = request.decode()
    path = (directory / text.removeprefix("GET ").strip()).resolve()
    if not text.startswith("GET ") or not path.is_relative_to(directory.resolve()) or not path.is_file():
        raise ValueError(f"not a GET of a file that is there: {request!r}")
    return path


def _stored(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


async def _each(do: Callable[[str], Coroutine[Any, Any, None]], files: list[str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for file in files:
            tasks.create_task(do(file))


async def _main(role: Role, port: int) -> None:
    playing = asyncio.ensure_future(run(role, port))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    with suppress(asyncio.CancelledError):
        await playing


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A role in the interop runner's test cases of WebTransport; the environment says which.")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where www, downloads and certs are (default: /)")
    parser.add_argument("--port", type=int, default=443, help="UDP port of a server (default: 443)")
    chosen = parser.parse_args()
    try:
        asyncio.run(_main(Role.of(os.environ, chosen.root), chosen.port))
    except UnknownCaseError as error:
        print(error, file=sys.stderr)
        sys.exit(_UNKNOWN)

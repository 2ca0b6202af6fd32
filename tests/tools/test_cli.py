"""The command line: what it does with arguments, signals, pipes and servers that misbehave. `test_cli_guide` has the usual ways."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import web_transport
from pywebtransport import ServerApp, ServerConfig, WebTransportSession
from pywebtransport.cli import main
from pywebtransport.cli.listening import renew
from pywebtransport.utils import certificate_hash

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="signals and pseudo-terminals"), pytest.mark.deadline(60)]


class Ended(NamedTuple):
    status: int | None
    out: str
    err: str


@asynccontextmanager
async def running(*arguments: object, cwd: Path | None = None, **options: Any) -> AsyncIterator[Process]:
    """A command in a process of its own; what still runs at the end is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pywebtransport", *map(str, arguments)),
        **{"cwd": cwd, "stdin": PIPE, "stdout": PIPE, "stderr": PIPE, "env": {**os.environ, "PYTHONUNBUFFERED": "1"}, **options},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(*arguments: object, typed: bytes = b"", cwd: Path | None = None) -> Ended:
    """A command from start to end."""
    async with running(*arguments, cwd=cwd) as process:
        out, err = await process.communicate(typed)
    return Ended(process.returncode, out.decode(), err.decode())


def serving(pem: tuple[str, str], handler: Any) -> ServerApp:
    app = ServerApp(ServerConfig(certfile=pem[0], keyfile=pem[1], close_timeout=0.2))
    app.route("/", protocols=["b"])(handler)
    return app


@pytest.mark.parametrize("command", ["serve", "echo", "interop", "connect", "ping", "bench", "baton", "doctor", "cert"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: webtransport {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "webtransport: the following arguments are required: COMMAND"),
        (["ping"], "webtransport ping: the following arguments are required: URL"),
        (["ping", "https://a", "--count", "0"], "webtransport ping: argument --count: not a number from 1 on: '0'"),
        (["ping", "https://a", "--wait", "nan"], "webtransport ping: argument --wait: not a number from 0 on: 'nan'"),
        (["connect", "https://a", "--header", "x"], "webtransport connect: argument --header: not a NAME:VALUE: 'x'"),
        (
            ["connect", "https://a", "--insecure", "--pin", "0" * 64],
            "webtransport connect: argument --pin: not allowed with argument --insecure",
        ),
        (["connect", "https://a#b"], "webtransport connect: not a URL to connect to: 'https://a#b': it has a fragment"),
        (["baton", "ftp://a", "--check"], "webtransport baton: not a URL to connect to: 'ftp://a'"),
        (["doctor", "a"], "webtransport doctor: not a URL to connect to: 'a': the scheme is not https"),
        (["interop", "--certfile", "a.crt"], "webtransport interop: --certfile and --keyfile go together"),
        (["connect", "https://a", "--subprotocol", ""], "webtransport connect: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_one_line_and_status_2(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(error)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["interop", "--certfile", "none.crt", "--keyfile", "none.key", "--port", "0"], "webtransport interop: certfile must be the path"),
        (["cert", "--of", "/dev/null"], "webtransport cert: no certificate in /dev/null"),
        (["cert", "--of", "/none"], "webtransport cert: [Errno 2] No such file"),
        (["cert", "not a name"], "webtransport cert: cannot make a certificate for 'not a name'"),
        (["echo", "--host", "nowhere.invalid"], "webtransport echo: cannot listen on 'nowhere.invalid'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line_and_status_1(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(error)


def test_a_certificate_is_printed_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All forms are of the same hash, and one that browsers would refuse says so."""
    assert main(["cert", "a.example", "--dir", str(tmp_path), "--days", "30"]) == 0
    printed = capsys.readouterr().out
    digest = certificate_hash(tmp_path / "a.example.crt")
    assert f"hex         {digest.hex()}\n" in printed
    assert "note        browsers refuse the hash" in printed
    assert (tmp_path / "a.example.key").stat().st_mode & 0o777 == 0o600


async def test_a_server_ends_well_on_either_signal() -> None:
    """It has made a certificate by itself, on a port that was free."""
    for number in (signal.SIGINT, signal.SIGTERM):
        async with running("interop", "--port", 0, "--host", "127.0.0.1") as server:
            assert server.stdout
            address = (await server.stdout.readline()).decode().split()[-1]
            assert (await server.stdout.readline()).startswith(b"certificate hash ")
            echoed = await run("connect", f"{address}/echo", "--insecure", typed=b"hello")
            assert (echoed.status, echoed.out) == (0, "[stream 4] hello\n")
            server.send_signal(number)
            assert await server.wait() == 0


async def test_an_echo_server_has_a_page() -> None:
    """It says what to open, where it serves, and by which hash it is known; the page has the hash too."""
    async with running("echo", "--port", 0, "--host", "127.0.0.1") as server:
        assert server.stdout
        page, address, digest = [(await server.stdout.readline()).decode().split()[-1] for _ in range(3)]
        echoed = await run("connect", f"{address}/any/path", "--pin", digest, typed=b"hello")
        assert (echoed.status, echoed.out) == (0, "[stream 4] hello\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(page.rstrip("/").rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert digest.encode() in await reader.read()
        writer.close()
        server.terminate()
        assert await server.wait() == 0


async def test_a_certificate_of_its_own_is_renewed(
    start: Any, pem: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it is over, new connections get another one, whose hash is told; sessions go on."""

    async def echo_line(session: WebTransportSession) -> None:
        async for stream in session.incoming_bidirectional_streams():
            await stream.write_all(await stream.read_all())

    app = serving(pem, echo_line)
    async with start(app=app) as origin, running("connect", origin, "--insecure") as client:
        assert client.stderr
        await client.stderr.readline()
        renew(app.server, str(tmp_path))
        pin = capsys.readouterr().out.split()[-1]
        assert pin == certificate_hash(tmp_path / "localhost.crt").hex() != certificate_hash(pem[0]).hex()
        assert (await run("connect", origin, "--pin", pin, typed=b"new")).out == "[stream 4] new\n"
        out, _ = await client.communicate(b"old")
        assert out == b"[stream 4] old\n"


async def test_a_client_that_is_interrupted_has_status_130(start: Any) -> None:
    async with start() as origin, running("connect", f"{origin}/echo", "--insecure") as client:
        assert client.stderr
        assert await client.stderr.readline()
        client.send_signal(signal.SIGINT)
        assert await client.wait() == 130


async def test_a_session_that_the_server_closes_ends_the_client(start: Any, pem: tuple[str, str]) -> None:
    """Code, reason and subprotocol are told; what comes on streams of the server's is shown."""

    async def speak_and_close(session: WebTransportSession) -> None:
        await (await session.create_unidirectional_stream()).write_all(b"one\ntwo\n\xff")
        await (await session.create_bidirectional_stream()).write_all(b"three")
        await session.send_datagram(b"four")
        stream = await session.accept_bidirectional_stream()
        await stream.read(1)
        await session.close(7, "bye")

    async with start(app=serving(pem, speak_and_close)) as origin, running("connect", origin, "--insecure", "--subprotocol", "b") as client:
        assert client.stdin
        assert client.stdout
        lines = sorted([(await client.stdout.readline()).decode() for _ in range(5)])
        assert [re.sub(r"\d+", "N", line) for line in lines] == [
            "[datagram] four\n",
            "[stream N] three\n",
            "[uni N] \\xff\n",
            "[uni N] one\n",
            "[uni N] two\n",
        ]
        _, err = await client.communicate(b"x\n")
    assert client.returncode == 0
    first, *_, last = err.decode().splitlines()
    assert "subprotocol b" in first
    assert last == "closed by the peer: code 7, bye"


async def test_figures_are_of_the_session(start: Any) -> None:
    async with start() as origin:
        asked = await run("connect", f"{origin}/stats", "--insecure", "--header", "X-Who: me")
    assert json.loads(asked.out.removeprefix("[stream 4] "))["headers"]["x-who"] == "me"


async def test_who_does_not_echo_is_told_apart(start: Any, pem: tuple[str, str]) -> None:
    """A server that answers something else fails the bench, and one that is silent loses all pings."""

    async def refuse(session: WebTransportSession) -> None:
        async for stream in session.incoming_bidirectional_streams():
            await stream.read(8)
            await stream.stop_receiving(5)
            await stream.write_all(b"no")

    async with start(app=serving(pem, refuse)) as origin:
        bench = await run("bench", origin, "--insecure", "--size", "1")
        assert bench.status == 1
        assert bench.err.startswith("webtransport bench: the server does not echo: ")
        ping = await run("ping", origin, "--insecure", "--count", "2", "--interval", "0", "--wait", "0.05", "--over", "datagram")
        assert ping.status == 1
        assert ping.out.splitlines()[-1] == "datagram      2     0 100.0%"


async def test_a_game_that_does_not_end_well_has_status_1(start: Any) -> None:
    """The server begins as it likes, and the terms that it refuses are told."""
    async with start() as origin:
        assert (await run("baton", f"{origin}/webtransport/devious-baton?baton=250&count=2", "--insecure", "--strict")).status == 0
        refused = await run("baton", origin, "--insecure", "--count", "65")
    assert (refused.status, refused.err) == (1, "webtransport baton: server rejected the session: status 400\n")


async def test_a_doctor_finds_what_browsers_lack(certificate: tuple[bytes, bytes]) -> None:
    """Here: a version that they speak, and pages of other hosts being let in."""
    chain, pin = [certificate[0]], web_transport.certificate_hash(certificate[0]).hex()
    async with web_transport.Server(
        certificate_chain=chain, private_key=certificate[1], bind="127.0.0.1:0", dialects=["draft-16"]
    ) as server, asyncio.TaskGroup() as tasks:  # fmt: skip

        async def accept() -> None:
            async for request in server:
                tasks.create_task(keep(request))

        async def keep(request: web_transport.SessionRequest) -> None:
            await (await request.accept()).wait_closed()

        tasks.create_task(accept())
        examined = await run("doctor", f"https://127.0.0.1:{server.local_addr[1]}", "--pin", pin)
        server.close()
    assert examined.status == 0
    told = dict(line.split(maxsplit=1) for line in examined.out.splitlines())
    assert told["session"] == "draft-16, of draft-16 that it speaks"
    assert told["Chromium"] == told["Firefox"] == "would not connect: the server does not speak draft-02"
    assert told["origins"].startswith("not of any origin: ")


async def test_who_reads_no_more_is_no_failure(start: Any) -> None:
    """As ``head`` does it."""
    async with start() as origin:
        reading, writing = os.pipe()
        async with running("baton", origin, "--insecure", "--baton", "1", stdout=writing) as client:
            os.close(writing)
            os.close(reading)
            assert await client.wait() == 0


def printed(terminal: int) -> bytes:
    """All that was printed on a pseudo-terminal that nobody has open any more, which Linux tells by an error, and others by an end."""
    lines = b""
    with suppress(OSError):
        while some := os.read(terminal, 4096):
            lines += some
    return lines


async def test_a_terminal_gets_pictures(start: Any) -> None:
    """The histogram is drawn over the one before, and the bar goes when it is full."""
    async with start() as origin:
        for command, seen in (["ping", "--count", "5", "--interval", "0"], b"\x1b["), (["bench", "--size", "4"], b"\r["):
            terminal, other = pty.openpty()
            async with running(command[0], f"{origin}/echo", "--insecure", *command[1:], stdout=other, stderr=other) as client:
                os.close(other)
                assert await client.wait() == 0
            assert seen in printed(terminal)
            os.close(terminal)


APP = """
from pywebtransport import ServerApp, ServerConfig, WebTransportSession
app = ServerApp(ServerConfig(bind_host="127.0.0.1", bind_port=0))
@app.route("/")
async def hello(session: WebTransportSession) -> None:
    await (await session.accept_bidirectional_stream()).write_all(b"%s")
    await session.wait_closed()
"""


async def test_an_application_is_served_and_served_anew(tmp_path: Path, pem: tuple[str, str]) -> None:
    """Its configuration holds where no argument says otherwise; ``--reload`` sees that the file has changed."""
    source = tmp_path / "hello.py"
    source.write_text(APP % "first")
    async with running("serve", "hello:app", "--reload", "--certfile", pem[0], "--keyfile", pem[1], cwd=tmp_path) as server:
        output = server.stdout
        assert output

        async def address() -> str:
            while b"listening on " not in (line := await output.readline()):
                assert line
            return line.decode().split()[-1]

        assert (await run("connect", await address(), "--insecure")).out == "[stream 4] first\n"
        source.write_text(APP % "the second")
        assert (await run("connect", await address(), "--insecure")).out == "[stream 4] the second\n"
        server.terminate()
        assert await server.wait() == 0


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import nowhere_at_all", "needs one that is not installed: nowhere_at_all"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero ("),
        ("app = 1", "is not a ServerApp: 1"),
        ("from pywebtransport import ServerApp; app = ServerApp()", "has no certificate: --certfile and --keyfile"),
    ],
)
async def test_an_application_that_cannot_be_served_is_told_in_one_line(tmp_path: Path, source: str, error: str) -> None:
    (tmp_path / "broken.py").write_text(source)
    ended = await run("serve", "broken:app", cwd=tmp_path)
    assert ended.status in (1, 2)
    (line,) = ended.err.splitlines()
    assert error in line

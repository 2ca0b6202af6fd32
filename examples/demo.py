"""The demonstration: echo/server.py as a process of its own, and against it echo/client.py and echo/page.html in headless browsers.

Prints a line for each check, with its round-trip time, and exits with 0 only if all hold. With ``--serve``, keeps the server and
the page up for a person with a browser, until interrupted.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

ECHO = Path(__file__).parent / "echo"
CHECKS = ["connect", "bidirectional stream", "unidirectional streams", "datagram", "close"]
CLIENT_TIMEOUT = 30.0  # seconds from start to end
BROWSER_TIMEOUT = 90.0  # seconds: a first start on a cold disk takes its time
GOODBYE = "closed by peer: session, code 7, reason 'bye'"  # how the server tells of the close that every client ends with


class Result(NamedTuple):
    """How one check went."""

    name: str
    milliseconds: float | None = None
    failure: str | None = None


class EchoServer(NamedTuple):
    """A running echo/server.py."""

    url: str
    certificate_hash: str
    output: asyncio.StreamReader

    async def confirmed(self, results: list[Result]) -> list[Result]:
        """*results*, their close only if the server has seen it too, with its code and reason."""
        *others, last = results
        if last.name != "close" or last.failure is not None:
            return results
        try:
            async with asyncio.timeout(5):
                async for line in self.output:
                    if GOODBYE in line.decode():
                        return results
        except TimeoutError:
            pass
        return [*others, Result("close", failure=f"the server did not say: {GOODBYE}")]


@asynccontextmanager
async def running(*command: str | Path, home: str | None = None) -> AsyncIterator[Process]:
    """Run *command*; leaving the context ends it, at once and with every process that it started."""
    environment = os.environ | ({"HOME": home, "TMPDIR": home} if home else {})  # what is killed cannot tidy up
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True, env=environment
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def echo_server(*arguments: str) -> AsyncIterator[EchoServer]:
    """Run echo/server.py on a free port."""
    async with running(sys.executable, "-u", ECHO / "server.py", *arguments) as process:
        assert process.stdout
        announced = []
        async with asyncio.timeout(CLIENT_TIMEOUT):
            for name in ("url: ", "certificate hash: "):
                line = (await process.stdout.readline()).decode()
                if not line.startswith(name):
                    sys.exit(f"the echo server did not start:\n{line}{(await process.stdout.read()).decode()}")
                announced.append(line.removeprefix(name).strip())
        url, certificate_hash = announced
        yield EchoServer(url, certificate_hash, process.stdout)


class Site:
    """A local HTTP server with one page, echo/page.html, which also takes the results that the page posts."""

    def __init__(self) -> None:
        self.results: asyncio.Queue[list[Result]] = asyncio.Queue()
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve on a free port of 127.0.0.1: pages from there may use WebTransport."""
        async with await asyncio.start_server(self._answer, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
            method, target = head.split()[:2]
            status, body = "404 Not Found", b""
            if method == "POST" and target == "/result" and length:
                results = json.loads(await reader.readexactly(int(length[1])))
                self.results.put_nowait([Result(result["name"], result.get("ms"), result.get("detail")) for result in results])
                status = "204 No Content"
            elif method == "GET" and target.partition("?")[0] == "/":
                status, body = "200 OK", (ECHO / "page.html").read_bytes()
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
                "Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass  # a browser that opens a connection ahead of need, or leaves
        finally:
            writer.close()


async def python_checks(server: EchoServer) -> list[Result]:
    """Run echo/client.py, and read its results from what it prints."""
    async with running(sys.executable, ECHO / "client.py", server.url, server.certificate_hash) as process:
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT):
                output = (await process.communicate())[0].decode()
        except TimeoutError:
            return [Result("connect", failure=f"not done within {CLIENT_TIMEOUT:.0f} s")]
    times = {name: float(ms) for name, ms in re.findall(r"^(.+): ([\d.]+) ms$", output, re.MULTILINE)}
    results = [Result(name, times[name]) for name in CHECKS if name in times]
    if process.returncode != 0:
        results.append(Result("exit", failure=output.strip().rpartition("\n")[2]))
    return results


async def browser_checks(name: str, site: Site, server: EchoServer) -> list[Result]:
    """Open the page in a browser with a fresh profile, and wait for its results."""
    page = site.url + "?" + urlencode({"auto": 1, "url": server.url, "hash": server.certificate_hash})
    with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as profile:
        if name == "chromium":
            command = ["chromium", "--headless", f"--user-data-dir={profile}", "--no-first-run", "--disable-gpu"]
            if os.geteuid() == 0:
                command.append("--no-sandbox")  # its sandbox refuses to run as root
        else:
            command = ["firefox-esr", "--headless", "--no-remote", "--profile", profile]
        async with running(*command, page, home=profile) as process:
            assert process.stdout
            output = asyncio.create_task(last_line(process.stdout))
            results = asyncio.create_task(site.results.get())
            await asyncio.wait([output, results], timeout=BROWSER_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            output.cancel()
            results.cancel()
            if results.done():
                return results.result()
            if output.done():
                return [Result("start", failure=f"the browser ended: {output.result()}")]
            return [Result("start", failure=f"no result within {BROWSER_TIMEOUT:.0f} s")]


async def last_line(output: asyncio.StreamReader) -> str:
    """Read *output* to its end, for a full pipe would stop its writer, and return the last line."""
    last = b""
    async for line in output:
        last = line
    return last.decode(errors="replace").strip()


async def version(command: str) -> str:
    """What a browser calls itself, without the packager's words."""
    async with running(command, "--version") as process:
        output = (await process.communicate())[0].decode()
    found = re.search(r"(Chromium|Firefox) [\w.]+", output)
    return found[0] if found else command


def paint(text: str, colour: int) -> str:
    """*text* in a colour of the terminal, if there is one."""
    return f"\x1b[{colour}m{text}\x1b[0m" if sys.stdout.isatty() else text


def report(client: str, results: list[Result]) -> int:
    """Print the results of one client, and return how many checks did not hold."""
    print(f"\n{paint(client, 1)}")
    missing = [Result(name, failure="not run") for name in CHECKS if name not in {result.name for result in results}]
    failures = 0
    for result in results + missing:
        if result.failure is None:
            print(f"  {paint('ok    ', 32)}  {result.name:<24}{result.milliseconds:>9.2f} ms")
        else:
            failures += 1
            print(f"  {paint('FAILED', 31)}  {result.name:<24}{result.failure}")
    sys.stdout.flush()
    return failures


async def demonstrate() -> int:
    """Run all checks, and return the exit status."""
    this = asyncio.current_task()
    assert this
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)  # whatever ends us, no process is left behind
    site = Site()
    failures = 0
    async with site.serving(), echo_server("--host", "127.0.0.1", "--port", "0") as server:
        print(f"echo server  {server.url}\ncertificate  {server.certificate_hash}", flush=True)
        failures += report("Python client", await server.confirmed(await python_checks(server)))
        for browser in ("chromium", "firefox-esr"):
            results = await browser_checks(browser, site, server)
            failures += report(await version(browser), await server.confirmed(results))
    print("\n" + (paint(f"{failures} checks failed", 31) if failures else paint("all checks hold", 32)))
    return 1 if failures else 0


async def serve() -> None:
    """Keep the echo server and the page up until interrupted."""
    site = Site()
    async with site.serving(), echo_server("--port", "0") as server:
        print(f"open {site.url}?{urlencode({'url': server.url, 'hash': server.certificate_hash})}")
        print("in a browser on this machine; Ctrl-C ends it", flush=True)
        async for line in server.output:
            print(line.decode(), end="", flush=True)


def main() -> int:
    """Read the command line and do what it asks."""
    parser = argparse.ArgumentParser(description="The demonstration: an echo server, a Python client and two browsers.")
    parser.add_argument("--serve", action="store_true", help="keep the server and its page up for a browser of your own")
    if parser.parse_args().serve:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve())
        return 0
    status = asyncio.run(demonstrate())
    if sys.stdout.isatty():
        print("to try it by hand: .venv/bin/python examples/demo.py --serve")
    return status


if __name__ == "__main__":
    sys.exit(main())

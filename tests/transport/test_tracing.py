"""The core's log: there is none unless it is asked for, and then it is what was asked for."""

import os
import subprocess
import sys

import pytest
import web_transport

ECHO = """
import asyncio, sys, web_transport

async def main():
    certificate, key = web_transport.generate_self_signed(["localhost"])
    async with (
        web_transport.Server(certificate_chain=[certificate], private_key=key, bind="127.0.0.1:0") as server,
        web_transport.Client(no_cert_verification=True) as client,
    ):
        connecting = asyncio.create_task(client.connect(f"https://127.0.0.1:{server.local_addr[1]}/"))
        await (await server.accept()).accept()
        await connecting

if len(sys.argv) > 1:
    print(web_transport.init_tracing(*sys.argv[2:]), web_transport.init_tracing("trace"))
asyncio.run(main())
"""


def log_of(*arguments, **environment):
    """What a process writes that connects: to standard output, and to standard error."""
    environment = {name: value for name, value in os.environ.items() if name != "WEBTRANSPORT_LOG"} | environment
    done = subprocess.run([sys.executable, "-c", ECHO, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip(), done.stderr


def test_without_asking_there_is_no_log():
    """Whatever the environment says, it is the program that asks."""
    assert log_of(WEBTRANSPORT_LOG="trace") == ("", "")


def test_the_log_is_what_was_asked_for():
    """Directives name modules and levels; the first call counts."""
    said, log = log_of("log", "quinn_proto=trace")
    assert said == "True False"
    assert "TRACE" in log
    assert "quinn_proto" in log
    assert log_of("log", "off") == ("True False", "")


def test_the_environment_is_asked_if_the_program_does_not_say():
    """WEBTRANSPORT_LOG has the directives."""
    assert "quinn_proto" in log_of("log", WEBTRANSPORT_LOG="trace")[1]
    assert log_of("log") == ("True False", "")


@pytest.mark.parametrize(("directives", "word"), [("a=loud", ""), ("warning", "warning"), ("quinn_proto,warn", "quinn_proto")])
def test_what_is_no_filter(directives, word):
    """It is an error that shows it; so is a level that is misspelt, which would name a module, and let nothing through."""
    with pytest.raises(ValueError, match=f'not a filter of a log: "{directives}".*{word}'):
        web_transport.init_tracing(directives)

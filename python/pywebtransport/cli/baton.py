"""``webtransport baton``: a game of Devious Baton, or the checks of a server of it."""

import argparse
from urllib.parse import urlsplit

from pywebtransport.client import WebTransportClient
from pywebtransport.interop import CHECKS, Game, Leg, Move, Terms, run_checks
from pywebtransport.interop.baton import PATH, SessionCode

from .arguments import CommandError, Commands, add_command, add_target, config_of, connected, number, run_async

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Play Devious Baton with a server.\n\n"
        "Prints every baton that comes, and on what it comes; it ends when the session does. With --check, checks\n"
        f"instead whether the server keeps {len(CHECKS)} rules."
    )
    parser = add_command(commands, "baton", _run, description)
    add_target(parser)
    parser.add_argument("--count", type=number(int, 1), default=1, help="batons at once (default: 1)")
    parser.add_argument("--baton", type=number(int, 1), default=None, help="where they begin, 1 to 255 (default: the server chooses)")
    parser.add_argument("--strict", action="store_true", help="close the session if a baton comes that was not due")
    parser.add_argument("--check", action="store_true", help="check the server's rules")


def _run(arguments: argparse.Namespace) -> int:
    return run_async(_check(arguments) if arguments.check else _play(arguments))


async def _play(arguments: argparse.Namespace) -> int:
    terms = Terms(arguments.count, arguments.baton)
    parts = urlsplit(arguments.url)
    arguments.url = parts._replace(path=parts.path.rstrip("/") or PATH, query=parts.query or terms.query).geturl()
    if parts.query:
        try:
            terms = Terms.parse(parts.query)
        except ValueError as error:
            raise CommandError(str(error)) from error
    moves: list[Move] = []

    def report(move: Move) -> None:
        moves.append(move)
        print(f"{move.baton:3} on {move.leg.value}", flush=True)

    async with connected(arguments) as session:
        await Game(session, terms, strict=arguments.strict, report=report).play()
    ended = f"code {session.close_code}" if session.close_reason in ("", None) else f"code {session.close_code}, {session.close_reason}"
    streams = sum(move.leg is not Leg.DATAGRAM for move in moves)
    print(f"over after {streams} batons on streams and {len(moves) - streams} datagrams: {ended}")
    if session.close_code != 0:
        name = SessionCode(session.close_code).name if session.close_code in list(SessionCode) else session.close_reason
        raise CommandError(f"the game did not end well: {name}", 1)
    return 0


async def _check(arguments: argparse.Namespace) -> int:
    parts = urlsplit(arguments.url)
    if parts.scheme != "https" or not parts.netloc:
        raise CommandError(f"not a URL to connect to: {arguments.url!r}")
    async with WebTransportClient(config_of(arguments)) as client:
        results = await run_checks(
            client,
            f"https://{parts.netloc}",
            report=lambda check, failure: print(
                f"{'FAIL' if failure else 'ok  '}  {check.rule}{f': {failure}' if failure else ''}", flush=True
            ),
        )
    failed = sum(failure is not None for failure in results.values())
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0

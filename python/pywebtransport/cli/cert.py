"""``webtransport cert``: a certificate that browsers accept by its hash."""

import argparse
import base64
import warnings

from pywebtransport.utils import certificate_hash, generate_self_signed_cert

from .arguments import Commands, add_command, number

__all__ = ["add", "describe"]


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Make a certificate that browsers accept by its hash.\n\n"
        "Writes HOST.crt and HOST.key, PEM, and prints the hash as browsers and clients want it."
    )
    parser = add_command(commands, "cert", _run, description)
    parser.add_argument("host", metavar="HOST", nargs="?", default="localhost", help="DNS name or address (default: localhost)")
    parser.add_argument("--dir", default=".", help="where to write (default: here)")
    parser.add_argument("--days", type=number(int, 1), default=13, help="validity; browsers want at most 14 (default: 13)")
    parser.add_argument("--of", metavar="FILE", help="make none, but print the hash of this one, PEM")


def describe(certfile: str) -> str:
    """The hash of a certificate in each form that somebody wants."""
    digest = certificate_hash(certfile)
    encoded = base64.b64encode(digest).decode()
    script = f'{{algorithm: "sha-256", value: Uint8Array.from(atob("{encoded}"), (c) => c.charCodeAt(0))}}'
    return f"hex         {digest.hex()}\nbase64      {encoded}\nJavaScript  serverCertificateHashes: [{script}]"


def _run(arguments: argparse.Namespace) -> int:
    if arguments.of is not None:
        print(describe(arguments.of))
        return 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        certfile, keyfile = generate_self_signed_cert(arguments.host, arguments.dir, arguments.days)
    print(f"certificate {certfile}\nkey         {keyfile}\n{describe(certfile)}")
    for warning in caught:
        print(f"note        {warning.message}")
    return 0

"""Certificates for development, and the log of what is beneath."""

import base64
import os
import textwrap
import warnings
from pathlib import Path

import web_transport

from .exceptions import CertificateError, ConfigurationError

__all__ = ["certificate_hash", "generate_self_signed_cert", "init_tracing"]

_DAY = 24 * 60 * 60  # seconds
_LONGEST_PINNED = 14  # days (W3C WebTransport, "custom certificate requirements")


def generate_self_signed_cert(hostname: str, output_dir: "str | os.PathLike[str]" = ".", validity_days: int = 13) -> tuple[str, str]:
    """Write a certificate that signs itself to ``HOSTNAME.crt``, and its key to ``HOSTNAME.key``, both PEM.

    The key is ECDSA P-256, and only its owner may read the file. Browsers accept the certificate by its `certificate_hash`.
    One for ``localhost`` is for 127.0.0.1 and ::1 too.

    Args:
        hostname: What the server is called: a DNS name or an IP address.
        output_dir: Where to write; it is made if there is none.
        validity_days: Days from its first to its last. More than 14 get a UserWarning: browsers refuse the hash of such a
            certificate.
    Returns:
        The paths of the two files.
    Raises:
        CertificateError: *hostname* is neither, or *validity_days* no number of days to be valid for.
        OSError: The files cannot be written.
    """
    names = [hostname, "127.0.0.1", "::1"] if hostname == "localhost" else [hostname]
    try:
        certificate, key = web_transport.generate_self_signed(names, validity=validity_days * _DAY)
    except ValueError as error:
        raise CertificateError(f"cannot make a certificate for {hostname!r}: {error}") from error
    if validity_days > _LONGEST_PINNED:
        warnings.warn(f"browsers refuse the hash of a certificate that is valid for {validity_days} days: more than 14", stacklevel=2)
    directory = Path(output_dir)
    directory.mkdir(parents=True, exist_ok=True)
    certfile, keyfile = directory / f"{hostname}.crt", directory / f"{hostname}.key"
    certfile.write_text(_pem("CERTIFICATE", certificate), encoding="ascii")
    keyfile.unlink(missing_ok=True)  # one that is there might be open to others
    with open(keyfile, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags | os.O_EXCL, 0o600)) as file:
        file.write(_pem("PRIVATE KEY", key))
    return str(certfile), str(keyfile)


def certificate_hash(certificate: "str | os.PathLike[str] | bytes") -> bytes:
    """The SHA-256 of a certificate, 32 bytes: what `ClientConfig.server_certificate_hashes` and browsers pin.

    Args:
        certificate: The path of a PEM file, of which the first certificate counts, or a certificate's DER.
    Raises:
        CertificateError: There is no certificate in the file.
    """
    if not isinstance(certificate, bytes):
        text = Path(certificate).read_text(encoding="ascii", errors="replace")
        body = text.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]
        if not body:
            raise CertificateError(f"no certificate in {os.fspath(certificate)}")
        certificate = base64.b64decode(body)
    return web_transport.certificate_hash(certificate)


def init_tracing() -> None:
    """Write the log of the core and of QUIC to standard error, for the rest of the process; calling it again does nothing.

    The environment's ``WEBTRANSPORT_LOG`` says what of it: a level, or levels by module, as in ``warn,quinn_proto=trace``; by
    default what has the level "info" or is graver.

    Raises:
        ConfigurationError: It says something else.
    """
    try:
        web_transport.init_tracing()
    except ValueError as error:
        raise ConfigurationError(f"WEBTRANSPORT_LOG must be a filter of a log: {error}", "WEBTRANSPORT_LOG") from error


def _pem(label: str, der: bytes) -> str:
    """RFC 7468."""
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"

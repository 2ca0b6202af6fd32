"""Certificates made and read; all of it native, so that no other package is needed."""

from os import PathLike, fspath
from pathlib import Path

from . import _web_transport as _native


def generate_self_signed(subject_alt_names: list[str], *, validity: float | None = None) -> tuple[bytes, bytes]:
    """Make a certificate that signs itself, fit to be pinned by browsers.

    The key is ECDSA P-256, and unless told otherwise the certificate is valid for a little less than 14 days, the most
    that browsers accept for a pinned one. It begins an hour ago, for clocks that are behind.
    Source: W3C WebTransport, "custom certificate requirements".

    Args:
        subject_alt_names: The names to be valid for: IP addresses, or else DNS names.
        validity: Seconds from its first to its last, more than 0 and a hundred years at most.
    Returns:
        The certificate and its private key (PKCS#8), both DER.
    Raises:
        ValueError: The list is empty, an entry is neither an address nor a DNS name, or *validity* is out of range.
        TypeError: *subject_alt_names* is a str by itself.
    """
    if isinstance(subject_alt_names, str):  # a sequence of str, but not the one that was meant
        raise TypeError(f"subject_alt_names must be a list of str, not one by itself: {subject_alt_names!r}")
    return _native.generate_self_signed(subject_alt_names, validity)


def certificate_hash(certificate_der: bytes) -> bytes:
    """The SHA-256 of a certificate, 32 bytes: what `Client` and browsers pin."""
    return _native.certificate_hash(certificate_der)


def load_certificates(path: str | PathLike[str]) -> list[bytes]:
    """Read every certificate of a PEM file, in order: a chain for `Server`, or roots for `Client`.

    What else is in the file, keys for example, is passed over. Source: RFC 7468.

    Raises:
        OSError: The file cannot be read.
        ValueError: There is no certificate in it; the text names the file and says what there is.
    """
    text = Path(path).read_bytes()
    try:
        return _native.pem_certificates(text)
    except ValueError as error:
        raise ValueError(f"{fspath(path)}: {error}") from None


def load_private_key(path: str | PathLike[str]) -> bytes:
    """Read the private key of a PEM file, PKCS#8, PKCS#1 or SEC 1, as the DER that `Server` and `Client` take.

    What else is in the file, certificates for example, is passed over. Source: RFC 7468.

    Raises:
        OSError: The file cannot be read.
        ValueError: There is no key in it, more than one, or an encrypted one; the text names the file and says what there is.
    """
    text = Path(path).read_bytes()
    try:
        return _native.pem_private_key(text)
    except ValueError as error:
        raise ValueError(f"{fspath(path)}: {error}") from None

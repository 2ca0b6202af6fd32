"""Certificates for development and for pinning; all of it native, so that no other package is needed."""

from . import _web_transport as _native


def generate_self_signed(subject_alt_names: list[str]) -> tuple[bytes, bytes]:
    """Make a certificate that signs itself, fit to be pinned by browsers.

    The key is ECDSA P-256 and the certificate is valid for a little less than 14 days, the most that
    browsers accept for a pinned one. Source: W3C WebTransport, "custom certificate requirements".

    Args:
        subject_alt_names: The names to be valid for: IP addresses, or else DNS names.
    Returns:
        The certificate and its private key (PKCS#8), both DER.
    Raises:
        ValueError: The list is empty, or an entry is neither an address nor a DNS name.
    """
    return _native.generate_self_signed(subject_alt_names)


def certificate_hash(certificate_der: bytes) -> bytes:
    """The SHA-256 of a certificate, 32 bytes: what `Client` and browsers pin."""
    return _native.certificate_hash(certificate_der)

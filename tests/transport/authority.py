"""A certificate authority for tests: it issues what `generate_self_signed` does not."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key(kind: str = "p256") -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1())


def pkcs8(key: Key) -> bytes:
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Authority:
    """A root and what it signs; days are counted from now."""

    def __init__(self, name: str = "root") -> None:
        self._key = new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self._certify(self._name, self._key, -1, 1, [(x509.BasicConstraints(ca=True, path_length=None), True)])

    def _certify(self, subject: x509.Name, key: Key, first: float, last: float, extensions: list[tuple[x509.ExtensionType, bool]]) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=first))
            .not_valid_after(now + datetime.timedelta(days=last))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def issue(
        self, name: str = "localhost", *, kind: str = "p256", first: float = -1, last: float = 1, client: bool = False
    ) -> tuple[bytes, bytes]:
        """A certificate and its key, DER, for a server or a client."""
        key = new_key(kind)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.SubjectAlternativeName([x509.DNSName(name)]), False),
            (x509.ExtendedKeyUsage([usage]), False),
        ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._certify(subject, key, first, last, extensions), pkcs8(key)

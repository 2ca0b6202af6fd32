"""Certificates for development, and the log."""

import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import web_transport
from pywebtransport import CertificateError
from pywebtransport.utils import certificate_hash, generate_self_signed_cert


def test_files_are_pem_and_the_key_is_private(tmp_path):
    """The certificate and its key fit, and nobody but their owner can read the key, also where another file was before."""
    (tmp_path / "localhost.key").write_text("open to all")
    certfile, keyfile = generate_self_signed_cert("localhost", tmp_path)
    assert (certfile, keyfile) == (str(tmp_path / "localhost.crt"), str(tmp_path / "localhost.key"))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile)
    assert stat.S_IMODE(Path(keyfile).stat().st_mode) == 0o600


def test_the_working_directory_is_the_default(tmp_path, monkeypatch):
    """Without a directory the files are written here; a new directory is made."""
    monkeypatch.chdir(tmp_path)
    assert generate_self_signed_cert(hostname="a.test") == ("a.test.crt", "a.test.key")
    generate_self_signed_cert("a.test", output_dir="certificates")
    assert (tmp_path / "certificates" / "a.test.key").exists()


def test_the_hash_is_that_of_the_first_certificate(tmp_path):
    """A file's hash is what browsers pin; DER is taken too."""
    certfile, keyfile = generate_self_signed_cert("localhost", tmp_path)
    der = ssl.PEM_cert_to_DER_cert(Path(certfile).read_text())
    assert certificate_hash(certfile) == certificate_hash(der) == web_transport.certificate_hash(der)
    with pytest.raises(CertificateError, match=r"no certificate in .*localhost\.key"):
        certificate_hash(keyfile)


def test_a_name_that_is_none(tmp_path):
    """What is neither a name nor an address gets no certificate, and writes no file."""
    with pytest.raises(CertificateError, match="cannot make a certificate for 'a b'"):
        generate_self_signed_cert("a b", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_validity_is_in_days_and_long_ones_are_warned_of(tmp_path):
    """13 days are the default, other numbers are taken, and browsers refuse the hash of more than 14."""

    def days(certfile):
        found = ssl._ssl._test_decode_cert(certfile)
        return (ssl.cert_time_to_seconds(found["notAfter"]) - ssl.cert_time_to_seconds(found["notBefore"])) / 86400

    assert days(generate_self_signed_cert("a.test", tmp_path)[0]) == 13
    assert days(generate_self_signed_cert("a.test", tmp_path, validity_days=14)[0]) == 14
    with pytest.warns(UserWarning, match="browsers refuse the hash .* 365 days"):
        assert days(generate_self_signed_cert("a.test", tmp_path, 365)[0]) == 365
    with pytest.raises(CertificateError, match="validity"):
        generate_self_signed_cert("a.test", tmp_path, validity_days=0)


def test_the_log_is_filtered_by_the_environment():
    """It is the transport's, as the environment's variable says; a filter that is none is told."""
    script = "from pywebtransport.utils import init_tracing; init_tracing(); init_tracing()"

    def run(directives):
        environment = {**os.environ, "WEBTRANSPORT_LOG": directives}
        return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=30, check=False)

    assert (run("debug").returncode, run("debug").stderr) == (0, "")
    assert "ConfigurationError: WEBTRANSPORT_LOG must be" in run("a=loud").stderr

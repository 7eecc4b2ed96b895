"""Certificates of a cluster: an authority and who is signed by it, made with openssl."""

import subprocess
import tempfile
from pathlib import Path

DAYS = "30"
"""A test's cluster lives for minutes."""


class Authority:
    """A certificate authority.

    Attributes:
        directory: Where keys (`NAME.key`) and certificates (`NAME.crt`) are.
        certificate: Its own certificate.
    """

    def __init__(self, directory: Path) -> None:
        """Makes its key and certificate.

        Raises:
            OSError: There is no openssl.
            subprocess.CalledProcessError: openssl failed.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.certificate = directory / "ca.crt"
        _make_key(directory / "ca.key")
        usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
        request: list[str | Path] = ["req", "-x509", "-new", "-key", directory / "ca.key", "-days", DAYS]
        _openssl(*request, "-subj", "/CN=vm-preflight-e2e", "-addext", usage, "-out", self.certificate)

    def key_pair(self, name: str) -> tuple[Path, Path]:
        """Makes a key pair without a certificate, and returns the private and the public one's file."""
        private, public = self.directory / f"{name}.key", self.directory / f"{name}.pub"
        _make_key(private)
        _openssl("pkey", "-in", private, "-pubout", "-out", public)
        return private, public

    def sign(self, name: str, subject: str, *, serves: str = "") -> tuple[Path, Path]:
        """Makes a certificate, and returns it and its key.

        Args:
            name: Name of the files.
            subject: As openssl takes it; `O` becomes the user's group, `CN` its name.
            serves: Names and addresses of a server (`IP:…,DNS:…`); a client's certificate when empty.

        Raises:
            subprocess.CalledProcessError: openssl failed.
        """
        key, certificate = self.directory / f"{name}.key", self.directory / f"{name}.crt"
        _make_key(key)
        lines = [
            "basicConstraints=CA:FALSE",
            "keyUsage=digitalSignature",
            f"extendedKeyUsage={'serverAuth' if serves else 'clientAuth'}",
            *([f"subjectAltName={serves}"] if serves else []),
        ]
        with tempfile.TemporaryDirectory() as scratch:
            request, extensions = Path(scratch, "request"), Path(scratch, "extensions")
            extensions.write_text("\n".join(lines))
            _openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
            signed: list[str | Path] = [
                "-CA",
                self.certificate,
                "-CAkey",
                self.directory / "ca.key",
                "-CAcreateserial",
            ]
            _openssl(
                *("x509", "-req", "-in", request, *signed, "-days", DAYS),
                *("-extfile", extensions, "-out", certificate),
            )
        return certificate, key


def _make_key(path: Path) -> None:
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)

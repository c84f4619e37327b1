"""A private authority, as a company has one, and a certificate that it has signed."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

HOST = "models.corp.invalid"
"""The host that the certificate is for, beside 127.0.0.1."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority and a server's certificate.

    Attributes:
        file: The authority's own certificate.
        folder: A folder with that certificate, as OpenSSL wants it for SSL_CERT_DIR.
        certificate: The server's certificate.
        key: The server's key.
    """

    file: Path
    folder: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A server's context with that certificate."""
        found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        found.load_cert_chain(self.certificate, self.key)
        return found


def make_authority(folder: Path) -> Authority:
    """Make an authority in *folder*."""

    def openssl(line: str) -> None:
        subprocess.run(["openssl", *line.split()], cwd=folder, check=True, capture_output=True)

    new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(f"{new} -x509 -days 2 -subj /CN=corp -keyout ca.key -out ca.pem")
    openssl(f"{new} -subj /CN=models -keyout key.pem -out request.pem")
    (folder / "names").write_text(f"subjectAltName=DNS:{HOST},IP:127.0.0.1\n")
    openssl(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -days 2 -out certificate.pem"
    )
    (folder / "hashed").mkdir()
    (folder / "hashed" / "ca.pem").write_bytes((folder / "ca.pem").read_bytes())
    openssl("rehash hashed")
    return Authority(folder / "ca.pem", folder / "hashed", folder / "certificate.pem", folder / "key.pem")

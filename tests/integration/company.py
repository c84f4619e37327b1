"""What stands between a job and its endpoint in a company: Squid, which wants a password, and nginx, which has a private certificate."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.authority import HOST, Authority

USER, PASSWORD = "clerk", "canary-of-the-proxy"
HELPERS = ("/usr/lib/squid/basic_ncsa_auth", "/usr/lib64/squid/basic_ncsa_auth")
SECONDS = 20

SQUID = """
http_port 127.0.0.1:{port}
hosts_file {folder}/hosts
pid_filename none
cache_log {folder}/cache.log
access_log stdio:{folder}/access.log
coredump_dir {folder}
cache deny all
shutdown_lifetime 0 seconds
auth_param basic program {helper} {folder}/passwords
auth_param basic children 2
acl known proxy_auth REQUIRED
acl allowed dstdomain {host}
http_access deny !known
http_access allow allowed
http_access deny all
"""

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{ proxy_pass http://127.0.0.1:{behind}; }}
    }}
}}
"""


def squid_helper() -> str | None:
    """Return the program that checks passwords for Squid; None if there is none, or no Squid."""
    return next((each for each in HELPERS if Path(each).exists()), None) if program("squid") else None


def program(name: str) -> str | None:
    """Return the path of a server; what root runs is not always where others look."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running_squid(folder: Path) -> Iterator[int]:
    """Run a proxy that knows the host of the certificate, leads nowhere else and wants a password; yields its port."""
    port = free_port()
    folder.chmod(0o755)
    (folder / "hosts").write_text(f"127.0.0.1 {HOST}\n")
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True
    ).stdout
    (folder / "passwords").write_text(f"{USER}:{hashed}")
    config = SQUID.format(port=port, folder=folder, helper=squid_helper(), host=HOST)
    (folder / "squid.conf").write_text(config)
    with suppress(PermissionError, LookupError):  # root's Squid becomes this user
        shutil.chown(folder, "proxy")
    with serving([program("squid") or "squid", "-N", "-f", str(folder / "squid.conf")], port):
        yield port


@contextmanager
def running_nginx(folder: Path, authority: Authority, behind: int) -> Iterator[int]:
    """Run a server of TLS before the one at port *behind* of loopback; yields its port."""
    port = free_port()
    config = NGINX.format(
        port=port, folder=folder, certificate=authority.certificate, key=authority.key, behind=behind
    )
    (folder / "nginx.conf").write_text(config)
    with serving([program("nginx") or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], port):
        yield port


@contextmanager
def serving(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a server while the block runs, once it listens at *port*."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            _wait(process, port)
            yield
        finally:
            process.terminate()
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[str], port: int) -> None:
    for _ in range(SECONDS * 20):
        if process.poll() is not None:
            assert process.stdout is not None
            raise AssertionError(f"ended with {process.returncode}: {process.stdout.read()}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens at {port}")


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

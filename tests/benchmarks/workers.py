"""Rows a second while asking, and CPU a row, of `run --workers 2` as ratios to one process, at nginx that answers at once.

    python -m tests.benchmarks.workers [--rows 100000] [--pairs 3] [--workers 2]

Both run in turn, and the median of the pairs' ratios is told. The rate is that between a tenth and nine tenths of the
requests, as nginx counts them: starting and publishing are not asking.
"""

import argparse
import http.client
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.instant import BODY
from tests.benchmarks.speed import TABLE, make_table, spend, write_config
from tests.integration.company import free_port, program, serving

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /v1/chat/completions {{ return 200 '{reply}'; }}
        location = /count {{ stub_status; }}
        location / {{ return 404 '{{}}'; }}
    }}
}}
"""

FIRST, LAST = 0.1, 0.9


@dataclass
class Pace:
    """When how many requests had been answered, and how much CPU the run had used."""

    port: int
    samples: list[tuple[float, int, float]] = field(default_factory=list)

    def look(self, process: int, seconds: float) -> None:
        """Ask nginx how many requests it has answered, and the system what the run and its workers have used."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/count")
        found = re.search(rb"\n (\d+) (\d+) (\d+)", connection.getresponse().read())
        connection.close()
        assert found
        with suppress(OSError):  # one has just ended
            self.samples.append((seconds, int(found[3]), cpu_seconds(process)))

    def steady(self) -> tuple[float, float]:
        """Return the requests a second and the CPU microseconds a request, but for the first and the last."""
        start = self.samples[0][1]
        total = self.samples[-1][1] - start
        some = [each for each in self.samples if FIRST < (each[1] - start) / total < LAST]
        seconds, requests, cpu = (last - first for first, last in zip(some[0], some[-1], strict=True))
        return requests / seconds, cpu / requests * 1e6


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds that *process* and its children have used."""
    family = [process, *map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]
    used = [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:13] for each in family]
    return sum(int(ticks) for pair in used for ticks in pair) / os.sysconf("SC_CLK_TCK")


@contextmanager
def instant_nginx(folder: Path) -> Iterator[int]:
    """Run an nginx that gives each chat completion the same answer; yields its port."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, reply=BODY.decode().replace("\\", "\\\\")))
    with serving([program("nginx") or "nginx", "-p", str(folder), "-c", str(config)], port):
        yield port


def measure(folder: Path, port: int, rows: int, workers: int) -> tuple[float, float, float]:
    """Run the job over the table in *folder*; return rows a second and CPU microseconds a row while asking, and these in all."""
    with tempfile.TemporaryDirectory() as name:
        place, pace = Path(name), Pace(port)
        (place / TABLE).symlink_to(folder / TABLE)
        config = write_config(place, f"http://127.0.0.1:{port}/v1")
        command = [sys.executable, "-m", "pipeline", "run", str(config), "--quiet", "--workers", str(workers)]
        spent = spend(command, watch=pace.look)
        return *pace.steady(), spent.cpu / rows * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_table(folder, chosen.rows)
        with instant_nginx(folder) as port:
            for _ in range(chosen.pairs):
                found = [measure(folder, port, chosen.rows, count) for count in (1, chosen.workers)]
                ratios.append([many / one for one, many in zip(*found, strict=True)])
                for count, (rate, asking, total) in zip((1, chosen.workers), found, strict=True):
                    sys.stdout.write(
                        f"{count}: {rate:,.0f} rows/s and {asking:.0f} us a row while asking, {total:.0f} us a row in all\n"
                    )
                sys.stdout.flush()
    rate, asking, total = (median(some) for some in zip(*ratios, strict=True))
    sys.stdout.write(
        f"{rate:.2f} x rows a second, {asking:.2f} x CPU a row while asking, {total:.2f} x in all\n"
    )


if __name__ == "__main__":
    main()

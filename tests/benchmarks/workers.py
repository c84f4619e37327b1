"""Rows a second, and CPU a row, of `run --workers 2` as ratios to one process, at nginx that answers at once.

    python -m tests.benchmarks.workers [--rows 100000] [--pairs 3] [--workers 2]

Both run in turn, and the median of the pairs' ratios is told: of the time in which a tenth to nine tenths of the requests are
answered, as nginx counts them, as starting and publishing are not asking; and of the whole run. Where others use the cores,
a process that is ready waits for one, which makes it no slower program: so the rate is told, too, without that time.
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
from typing import NamedTuple

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


class Sample(NamedTuple):
    """How far a run is.

    Attributes:
        seconds: Since its start.
        requests: That were answered.
        cpu: Seconds that it and its workers have used.
        waited: Seconds that each process that asks was ready and had no core, in the mean.
        asking: How many processes ask.
    """

    seconds: float
    requests: int
    cpu: float
    waited: float
    asking: int


class Found(NamedTuple):
    """What was measured.

    Attributes:
        rate: Rows a second while asking.
        unhindered: The same, but for the time in which the processes that ask had no core.
        asking: CPU microseconds a row while asking.
        total: CPU microseconds a row in all.
        speed: Rows a second from the start to the end.
    """

    rate: float
    unhindered: float
    asking: float
    total: float
    speed: float


@dataclass
class Pace:
    """When how many requests had been answered, and what the run had used by then."""

    port: int
    samples: list[Sample] = field(default_factory=list)

    def look(self, process: int, seconds: float) -> None:
        """Ask nginx how many requests it has answered, and the system what the run and its workers have used."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/count")
        found = re.search(rb"\n (\d+) (\d+) (\d+)", connection.getresponse().read())
        connection.close()
        assert found
        with suppress(OSError):  # one has just ended
            workers = children(process)
            asking = workers or [process]
            waited = sum(map(waited_seconds, asking)) / len(asking)
            cpu = sum(map(cpu_seconds, [process, *workers]))
            self.samples.append(Sample(seconds, int(found[3]), cpu, waited, len(workers)))

    def steady(self) -> tuple[float, float, float]:
        """Return `rate`, `unhindered` and `asking` of `Found`: but for the first requests and the last."""
        start = self.samples[0].requests
        total = self.samples[-1].requests - start
        some = [each for each in self.samples if FIRST < (each.requests - start) / total < LAST]
        some = [each for each in some if each.asking == some[0].asking]
        seconds, requests, cpu, waited, _ = (
            last - first for first, last in zip(some[0], some[-1], strict=True)
        )
        return requests / seconds, requests / max(0.01, seconds - waited), cpu / requests * 1e6


def children(process: int) -> list[int]:
    """Return the processes that *process* has started."""
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds that *process* has used, with its children that have ended."""
    used = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def waited_seconds(process: int) -> float:
    """Return for how many seconds the main thread of *process* was ready, and another one had the core."""
    return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()[1]) / 1e9


@contextmanager
def instant_nginx(folder: Path) -> Iterator[int]:
    """Run an nginx that gives each chat completion the same answer; yields its port."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, reply=BODY.decode().replace("\\", "\\\\")))
    with serving([program("nginx") or "nginx", "-p", str(folder), "-c", str(config)], port):
        yield port


def measure(folder: Path, port: int, rows: int, workers: int) -> Found:
    """Run the job over the table in *folder*."""
    with tempfile.TemporaryDirectory() as name:
        place, pace = Path(name), Pace(port)
        (place / TABLE).symlink_to(folder / TABLE)
        config = write_config(place, f"http://127.0.0.1:{port}/v1")
        command = [sys.executable, "-m", "pipeline", "run", str(config), "--quiet", "--workers", str(workers)]
        spent = spend(command, watch=pace.look)
        return Found(*pace.steady(), spent.cpu / rows * 1e6, rows / spent.seconds)


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
                for count, each in zip((1, chosen.workers), found, strict=True):
                    sys.stdout.write(
                        f"{count}: while asking {each.rate:,.0f} rows/s ({each.unhindered:,.0f} with a core each), "
                        f"{each.asking:.0f} us CPU a row; in all {each.speed:,.0f} rows/s, {each.total:.0f} us\n"
                    )
                sys.stdout.flush()
    middle = Found(*(median(some) for some in zip(*ratios, strict=True)))
    sys.stdout.write(
        f"while asking {middle.rate:.2f} x rows/s ({middle.unhindered:.2f} with a core each), {middle.asking:.2f} x CPU a row; "
        f"in all {middle.speed:.2f} x rows/s, {middle.total:.2f} x CPU\n"
    )


if __name__ == "__main__":
    main()

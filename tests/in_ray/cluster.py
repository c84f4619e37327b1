"""Nodes of a Ray cluster that can be killed and stopped, and jobs that run on them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray.cluster_utils import Cluster

from tests.jobs import JobFiles, environment

NODES = 3
LOOPBACK = "127.0.0.2"  # Ray replaces 127.0.0.1 by an address that others may reach
SMALL = {"num_cpus": 2, "object_store_memory": 100 << 20, "node_ip_address": LOOPBACK}
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1_000,
    "health_check_timeout_ms": 1_000,
    "health_check_failure_threshold": 3,
}
"""A node that says nothing is dead after three seconds, and not after half a minute."""

RAY = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_METRICS_COLLECTION": "0",
}


class Nodes:
    """A cluster: a head, where the driver runs, and two other nodes."""

    def __init__(self) -> None:
        os.environ.update(RAY)
        self._folder = TemporaryDirectory(prefix="ray-")  # short: there are sockets in it
        head = {**SMALL, "include_dashboard": False, "_system_config": HEALTH, "temp_dir": self._folder.name}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.complete()

    def complete(self) -> None:
        """Start nodes in place of those that are gone."""
        for node in [node for node in self._cluster.worker_nodes if not node.live_processes()]:
            self._cluster.remove_node(node)
        while len(self._cluster.worker_nodes) < NODES - 1:
            self._cluster.add_node(**SMALL)

    @property
    def address(self) -> str:
        found = self._cluster.address
        assert isinstance(found, str)
        return found

    def node_of(self, process: int) -> Any:
        """The node that a worker's process is on; None for the head."""
        parent = parent_of(process)
        return next((node for node in self._cluster.worker_nodes if raylet(node) == parent), None)

    def process_of(self, actor: str) -> int:
        """The process of the *actor* of that class that lives."""
        raylets = {raylet(node) for node in (self._cluster.head_node, *self._cluster.worker_nodes)}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "cmdline").read_text().startswith(f"ray::{actor}") and parent_of(
                    int(folder.name)
                ) in raylets:
                    return int(folder.name)
        raise AssertionError(f"no {actor}")

    def kill(self, process: int) -> None:
        """Kill the node that a worker's process is on, with that process, as a power cut does."""
        node = self.node_of(process)
        os.kill(process, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)

    def shut_down(self) -> None:
        self._cluster.shutdown()
        self._folder.cleanup()


def raylet(node: Any) -> int:
    (found,) = node.all_processes["raylet"]
    assert isinstance(found.process.pid, int)
    return found.process.pid


def parent_of(process: int) -> int:
    (found,) = re.findall(r"^PPid:\s*(\d+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(found)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def workers(job: JobFiles) -> dict[int, int]:
    """The process that has each slice, by the slice's index."""
    found = {}
    for lock in job.folder.glob("state/slices/*/runs/*/lock"):
        named = re.match(r"process (\d+) on ", lock.read_text())
        if named and is_alive(int(named[1])):
            found[int(lock.parents[2].name.partition("-")[0])] = int(named[1])
    return found


def start(job: JobFiles, nodes: Nodes, count: int = 3) -> subprocess.Popen[str]:
    """Start the driver."""
    options = ["--engine", "ray", "--address", nodes.address, "--workers", str(count)]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(job.config_file()), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(RAY),
    )


def run(job: JobFiles, nodes: Nodes, count: int = 3) -> subprocess.CompletedProcess[str]:
    """Run the driver to its end."""
    process = start(job, nodes, count)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_until(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)

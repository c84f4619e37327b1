"""Real gateways that nobody here wrote, in front of an endpoint: LiteLLM's proxy and Portkey's, as `.ci/gateways` installs them."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent / ".gateways"
LITELLM = ROOT / "litellm/bin/litellm"
PORTKEY = ROOT / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"

KEY = "sk-of-the-gateway"
"""What LiteLLM's proxy wants to see."""

START_SECONDS = 300
STOP_SECONDS = 10


@contextmanager
def litellm(folder: Path, upstream: str) -> Iterator[str]:
    """Run LiteLLM's proxy in front of *upstream*, whose model it calls `labels`, and yield its base URL.

    Its other model, `poor`, has a budget that the first reply spends.
    """
    parameters = {
        "model": "openai/test-model",
        "api_base": upstream,
        "api_key": "none",
        "input_cost_per_token": 1e-7,
        "output_cost_per_token": 4e-7,
    }
    poor = {**parameters, "max_budget": 1e-9, "budget_duration": "30d"}
    config = {
        "model_list": [
            {"model_name": "labels", "litellm_params": parameters},
            {"model_name": "poor", "litellm_params": poor},
        ],
        "general_settings": {"master_key": KEY},
        "router_settings": {"num_retries": 0},
    }
    path = folder / "litellm.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    command = [LITELLM, "--config", path, "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    with _running(
        [str(each) for each in command],
        f"http://127.0.0.1:{port}/health/liveliness",
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(folder)},
        folder,
    ):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def portkey(folder: Path) -> Iterator[str]:
    """Run Portkey's gateway and yield its base URL; each request tells it in headers whom to ask."""
    port = free_port()
    command = ["node", str(PORTKEY), "--headless", f"--port={port}"]
    with _running(command, f"http://127.0.0.1:{port}/", {"HOME": str(folder)}, folder):
        yield f"http://127.0.0.1:{port}/v1"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def _running(command: Sequence[str], health: str, env: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Run *command* while the block runs, which begins when *health* answers."""
    log = folder / "gateway.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"PATH": os.environ["PATH"], **env},
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(health):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False

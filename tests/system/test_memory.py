"""A process of our own holds no memory that nobody uses."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this is glibc's")

HEAPS = """
import ctypes, threading
from pipeline.system import memory

{prepare}
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
allocated = threading.Barrier(5)

def allocate():
    libc.malloc(1000)
    allocated.wait()

for _ in range(4):
    threading.Thread(target=allocate).start()
allocated.wait()
file = ctypes.c_void_p(libc.fopen({path!r}.encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def heaps(path: Path, prepare: str) -> int:
    """How many heaps there are when four threads have allocated, after *prepare*."""
    code = HEAPS.format(prepare=prepare, path=str(path))
    subprocess.run([sys.executable, "-c", code], check=True)
    return path.read_text().count("<heap nr=")


def test_all_threads_of_a_run_in_a_process_of_our_own_share_a_heap(tmp_path: Path) -> None:
    count = heaps(tmp_path / "info", "memory.claim_process(); memory.limit_free_memory()")
    assert count <= 2  # pyarrow has made one when it was loaded


def test_in_somebody_elses_process_threads_keep_their_heaps(tmp_path: Path) -> None:
    assert heaps(tmp_path / "info", "import pyarrow; memory.claim_process(); memory.limit_free_memory()") >= 4


RESIDENT = """
import ctypes
from pipeline.system import memory

def resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6
"""

POLARS = """
memory.claim_process()
memory.limit_free_memory()
import polars
before = resident()
series = polars.Series(range(4_000_000))
assert resident() > before + 25
del series
print(resident() - before)
"""

FREED = """
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
before = resident()
blocks = [libc.malloc(10_000) for _ in range(5_000)]
for block in blocks:
    ctypes.memset(block, 1, 10_000)
for block in blocks[:-1]:  # the last one holds them all
    libc.free(block)
assert resident() > before + 40
memory.trim_heap()
print(resident() - before)
"""


def kept(code: str, **environment: str) -> float:
    """How many MB a process keeps that has freed what it needed."""
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT + code],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    return float(done.stdout)


@pytest.mark.parametrize("inherited", ["", "dirty_decay_ms:10000,muzzy_decay_ms:10000"])
def test_what_polars_no_longer_needs_goes_back_at_once(inherited: str) -> None:
    assert kept(POLARS, _RJEM_MALLOC_CONF=inherited) < 10


def test_what_is_free_below_something_that_is_not_goes_back_when_told() -> None:
    assert kept(FREED) < 10

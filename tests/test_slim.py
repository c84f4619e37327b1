"""A process of our own holds no memory that nobody uses."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this is glibc's")

HEAPS = """
import ctypes, threading
from pipeline import slim

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
    count = heaps(tmp_path / "info", "slim.lean_pyarrow(); slim.lean_run()")
    assert count <= 2  # pyarrow has made one when it was loaded


def test_in_somebody_elses_process_threads_keep_their_heaps(tmp_path: Path) -> None:
    assert heaps(tmp_path / "info", "import pyarrow; slim.lean_pyarrow(); slim.lean_run()") >= 4

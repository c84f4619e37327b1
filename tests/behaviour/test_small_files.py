"""How much work a file of a folder is: counted, and the same for each however many lie beside it."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, environment, right_label, texts

FILES = (50, 250, 650)
"""Files of each job: the second has 200 more than the first, the third 400 more than the second."""

Counts = dict[str, float]


@pytest.fixture(name="more", scope="module")
def _more(tmp_path_factory: pytest.TempPathFactory) -> tuple[Counts, Counts]:
    """How much more of everything a file is, among few and among many; each has one row, whose answer is known."""
    with FaultServer(label_for=right_label) as server:
        configs = []
        for files in FILES:
            job = JobFiles(tmp_path_factory.mktemp("work"), server.base_url)
            folder = job.folder / "in" / "day=1"
            folder.mkdir(parents=True)
            for number in range(files):
                pq.write_table(pa.table({"text": texts(1)}), folder / f"{number:04}.parquet")
            job.set(input={"path": "in"}, output={"path": "out"})
            configs.append(str(job.config_file()))
        done = subprocess.run(
            [sys.executable, "-m", "tests.counting", configs[0], *configs],
            capture_output=True, text=True, env=environment(), check=True,
        )  # fmt: skip
    _, *found = map(json.loads, done.stdout.splitlines())  # the first has loaded the modules
    print(*found, sep="\n")  # noqa: T201 - shown where a bound is broken
    few, some, many = found
    return (
        {what: (some[what] - few.get(what, 0)) / (FILES[1] - FILES[0]) for what in some},
        {what: (many[what] - some.get(what, 0)) / (FILES[2] - FILES[1]) for what in many},
    )


@pytest.mark.slow
def test_a_file_is_as_much_work_among_many_as_among_few(more: tuple[Counts, Counts]) -> None:
    few, many = more
    for what in ("calls on the loop", "calls in threads"):
        assert many[what] < 1.15 * few[what]


@pytest.mark.slow
def test_a_file_is_synced_once(more: tuple[Counts, Counts]) -> None:
    assert more[1]["syncs"] == pytest.approx(1, abs=0.02)  # the record of the run has some, too


@pytest.mark.slow
def test_files_share_a_part_and_a_look_up(more: tuple[Counts, Counts]) -> None:
    assert more[1]["parts"] < 0.02
    assert more[1]["ledger look_up"] < 0.02

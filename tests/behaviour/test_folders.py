"""Folders as other programs leave them: labelled part by part, into a folder that reads as the first one does."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, last_line, texts


@pytest.fixture(name="hive")
def _hive(job: JobFiles) -> JobFiles:
    """A job on six rows in Hive folders, as Spark leaves them, whose text and id are in the folders' names, too."""
    for number, folder in enumerate(
        ("year=2023/lang=de", "year=2024/lang=__HIVE_DEFAULT_PARTITION__", "year=2024/lang=a%2Fb")
    ):
        path = job.folder / "in" / folder
        path.mkdir(parents=True)
        table = pa.table({"n": [2 * number, 2 * number + 1], "text": texts(2, 2 * number)})
        pq.write_table(table, path / ("part-00000" if number else "part-00000.snappy.parquet"))
        (path / ".part-00000.crc").write_bytes(b"crc")
    (job.folder / "in/_SUCCESS").touch()
    left = job.folder / "in/_temporary/0/year=2023/lang=de/part-00000.parquet"
    left.parent.mkdir(parents=True)
    pq.write_table(pa.table({"n": [9], "text": ["of a job that was killed"]}), left)
    return job.set(
        input={"path": "in", "id": "year"}, task={"text": "{lang}: {text}"}, output={"path": "out"}
    )


def test_hive_folders_come_out_as_they_went_in_with_their_columns_in_the_paths_only(
    hive: JobFiles, server: FaultServer
) -> None:
    assert last_line(hive.run())["rows"] == 6
    assert {text.partition(":")[0] for text in asked(server)} == {"de", "", "a/b"}
    files = sorted(path for path in hive.output.rglob("*") if path.is_file())
    assert [str(file.relative_to(hive.output)) for file in files] == [
        "year=2023/lang=de/part-00000.snappy.parquet",
        "year=2024/lang=__HIVE_DEFAULT_PARTITION__/part-00000.parquet",
        "year=2024/lang=a%2Fb/part-00000.parquet",
    ]
    assert pq.read_schema(files[0]).names[:3] == ["n", "text", "label"]
    for read in (by_polars, by_pyarrow):
        assert read(hive.output) == [
            (n, 2023 if n < 2 else 2024, "de" if n < 2 else None if n < 4 else "a/b") for n in range(6)
        ]


def by_polars(folder: Path) -> list[tuple[object, ...]]:
    return pl.read_parquet(folder).sort("n").select("n", "year", "lang").rows()


def by_pyarrow(folder: Path) -> list[tuple[object, ...]]:
    table = ds.dataset(folder, partitioning="hive").to_table().sort_by("n")
    return list(zip(*(table[name].to_pylist() for name in ("n", "year", "lang")), strict=True))


def test_a_selection_of_rows_has_the_columns_of_the_paths_in_its_one_file(hive: JobFiles) -> None:
    assert last_line(hive.run("--limit", "3"))["rows"] == 3
    labelled = pl.read_parquet(hive.folder / "out.limit-3.parquet")
    assert labelled.select("n", "text", "year", "lang").rows() == [
        (0, texts(1)[0], "2023", "de"), (1, texts(2)[1], "2023", "de"), (2, texts(3)[2], "2024", None),
    ]  # fmt: skip


def test_a_selection_is_made_anew_once_a_folder_has_another_name(hive: JobFiles) -> None:
    hive.run("--limit", "1")
    (hive.folder / "in/year=2023").rename(hive.folder / "in/year=2022")
    hive.run("--limit", "1")
    assert pl.read_parquet(hive.folder / "out.limit-1.parquet")["year"].to_list() == ["2022"]


def test_a_row_is_explained_by_an_id_that_is_in_its_path(hive: JobFiles) -> None:
    hive.run()
    found = command("explain", str(hive.config_file()), "2024")
    assert (found.returncode, "row                2" in found.stderr) == (0, True)


def test_a_column_of_the_paths_that_the_output_has_itself_is_refused(hive: JobFiles) -> None:
    (hive.folder / "in").rename(hive.folder / "old")
    path = hive.folder / "in/label=x/a.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"lang": ["de"], "text": ["a"], "year": [1]}), path)
    done = hive.run()
    assert (done.returncode, "output.columns.prefix: the input already has label" in done.stderr) == (
        78,
        True,
    )


def test_parts_of_several_writers_get_one_schema(job: JobFiles) -> None:
    (job.folder / "in").mkdir()
    parts = {
        "a": pa.table({"text": texts(1), "note": pa.nulls(1), "n": pa.array([1], pa.int32())}),
        "b": pa.table({"n": [2**40], "text": pa.array(texts(1, 1), pa.large_string()), "note": ["x"]}),
        "c": pa.table({"text": texts(1, 2), "note": pa.array(["y"]).dictionary_encode(), "n": [3]}),
    }
    for name, table in parts.items():
        pq.write_table(table, job.folder / "in" / f"{name}.parquet")
    job.set(input={"path": "in"}, output={"path": "out"})
    for arguments in ([], ["--sample", "3"]):
        done = job.run(*arguments)
        assert (done.returncode, last_line(done)["ok"]) == (0, 3), done.stderr
    for read in (pl.read_parquet(job.output), pl.read_parquet(job.folder / "out.sample-3-0.parquet")):
        assert read.sort("n").select("n", "text", "note").rows() == [
            (1, texts(1)[0], None), (3, texts(3)[2], "y"), (2**40, texts(2)[1], "x"),
        ]  # fmt: skip

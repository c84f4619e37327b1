"""Tables in a bucket: read in every way that local ones are, and published whole."""

from collections.abc import Callable
from pathlib import Path

import obstore
import polars as pl
import pytest

from tests.jobs import last_line, some_rows, texts
from tests.objectstore.jobs import StoredJob, all_right
from tests.objectstore.proxy import Call, Proxy

FORMATS = [".parquet", ".csv", ".jsonl"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_table_in_a_bucket_is_labelled_and_published_there(stored: StoredJob, suffix: str) -> None:
    stored.store(some_rows(300), f"in/rows{suffix}")
    done = stored.go()
    assert done.returncode == 0, done.stderr
    assert last_line(done)["output"] == stored.bucket.url("out/labelled.parquet")
    assert stored.published().height == 300
    assert all_right(stored.published())
    assert stored.bucket.names("out") == ["out/labelled.parquet"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_output_of_any_format_appears_in_the_bucket(stored: StoredJob, suffix: str) -> None:
    stored.store(texts(30))
    stored.set(output={"path": stored.bucket.url(f"out/labelled{suffix}")})
    assert stored.go().returncode == 0
    assert stored.bucket.get(f"out/labelled{suffix}")
    assert last_line(stored.go())["again"] is True


def test_a_job_that_is_finished_is_found_finished_and_a_changed_output_is_not_replaced(
    stored: StoredJob,
) -> None:
    stored.store(texts(20))
    assert stored.go().returncode == 0
    assert last_line(stored.go())["again"] is True
    stored.bucket.put("out/labelled.parquet", b"somebody else's")
    refused = stored.go()
    assert refused.returncode == 73
    assert "is there already and is not ours" in refused.stderr
    assert stored.go("--overwrite").returncode == 0
    assert all_right(stored.published())


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("in", ["a.parquet", "b.parquet"]),
        ("in/b*.parquet", ["b.parquet"]),
        ("in/**/*.parquet", ["a.parquet", "b.parquet", "sub/c.parquet"]),
    ],
)
def test_a_folder_or_a_pattern_gives_a_folder_that_ends_with_success(
    stored: StoredJob, path: str, names: list[str]
) -> None:
    for start, name in enumerate(["a.parquet", "b.parquet", "sub/c.parquet"]):
        stored.store(texts(20, start * 20), f"in/{name}")
    stored.bucket.put("in/_SUCCESS", b"")
    stored.bucket.put("in/.hidden.parquet", b"no table")
    stored.set(input={"path": stored.bucket.url(path)}, output={"path": stored.bucket.url("out/days")})
    done = stored.go()
    assert done.returncode == 0, done.stderr
    assert stored.bucket.names("out") == sorted(
        ["out/days/_SUCCESS", *(f"out/days/{name}" for name in names)]
    )
    assert all(all_right(stored.published(f"out/days/{name}")) for name in names)
    assert last_line(stored.go())["again"] is True


def test_a_folder_is_replaced_with_all_that_was_in_it(stored: StoredJob) -> None:
    for name in ("a", "b"):
        stored.store(texts(20), f"in/{name}.parquet")
    stored.set(input={"path": stored.bucket.url("in")}, output={"path": stored.bucket.url("out/days")})
    assert stored.go().returncode == 0
    stored.set(input={"path": stored.bucket.url("in/b*.parquet")})
    assert stored.go().returncode == 0
    assert stored.bucket.names("out") == ["out/days/_SUCCESS", "out/days/b.parquet"]


def test_a_folder_has_no_success_while_its_files_are_replaced(broken: StoredJob, proxy: Proxy) -> None:
    broken.store(texts(20), "in/a.parquet")
    broken.set(input={"path": broken.bucket.url("in")}, output={"path": broken.bucket.url("out/days")})
    assert broken.go().returncode == 0
    seen: list[list[str]] = []

    def look(call: Call) -> None:
        if call.method == "PUT" and call.key == "out/days/a.parquet":
            seen.append(broken.bucket.names("out/days"))

    proxy.fault = look
    broken.store(texts(25), "in/a.parquet")
    broken.set(input={"path": broken.bucket.url("in")})
    assert broken.go().returncode == 0
    assert seen == [["out/days/a.parquet"]]


def test_the_input_may_be_local_and_the_output_not_and_the_other_way_round(stored: StoredJob) -> None:
    stored.table(texts(20))
    assert stored.go().returncode == 0
    assert all_right(stored.published())
    stored.store(texts(20))
    stored.set(output={"path": "out/labelled.parquet"})
    assert stored.go().returncode == 0
    assert all_right(stored.labelled())


@pytest.mark.slow
def test_a_large_table_is_read_in_ranges_and_its_output_appears_at_an_instant(
    broken: StoredJob, proxy: Proxy
) -> None:
    rows = [f"{text} {'word ' * 4000}{number}" for number, text in enumerate(texts(1500))]
    broken.set(task={"max_text_tokens": 20, "text": "{id}"})
    frame = pl.DataFrame({"id": range(len(rows)), "text": rows})
    frame.write_parquet(broken.folder / "large.parquet", compression="uncompressed")
    content = (broken.folder / "large.parquet").read_bytes()
    assert len(content) > 24 << 20
    broken.bucket.put("in/rows.parquet", content)
    broken.set(
        input={"path": broken.bucket.url("in/rows.parquet")},
        output={"path": broken.bucket.url("out/l.jsonl")},
    )
    seen: list[bool] = []

    def look(call: Call) -> None:
        if call.key == "out/l.jsonl" and call.method in {"PUT", "POST"}:
            seen.append("out/l.jsonl" in broken.bucket.names("out"))

    proxy.fault = look
    done = broken.go()
    assert done.returncode == 0, done.stderr
    assert len(seen) > 4
    assert not any(seen)
    assert len(broken.bucket.get("out/l.jsonl").splitlines()) == 1500


def change(stored: StoredJob) -> None:
    stored.store(texts(41), "in/rows.parquet")


def remove(stored: StoredJob) -> None:
    obstore.delete(stored.bucket.store, "in/rows.parquet")


@pytest.mark.parametrize("happens", [change, remove])
def test_an_input_that_changes_during_the_run_ends_it_with_65(
    broken: StoredJob, proxy: Proxy, happens: Callable[[StoredJob], None]
) -> None:
    broken.store(texts(40))
    once = iter([happens])

    def look(call: Call) -> None:
        if (
            call.key == "out/.labelled.parquet.lock" and call.method == "PUT"
        ):  # all files were surveyed by now
            next(once, lambda _: None)(broken)

    proxy.fault = look
    done = broken.go()
    assert done.returncode == 65, done.stderr
    assert "out/labelled.parquet" not in broken.bucket.names()


def test_no_file_of_a_run_and_no_line_of_its_log_has_the_key_in_it(stored: StoredJob, tmp_path: Path) -> None:
    stored.store(texts(20))
    done = stored.go("--log-format", "json")
    assert done.returncode == 0
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    files += [
        done.stdout.encode(),
        done.stderr.encode(),
        *(stored.bucket.get(key) for key in stored.bucket.names()),
    ]
    assert not any(b"SECRET" in content for content in files)

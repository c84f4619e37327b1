"""The output never overwrites the input and is never read as input; the state outlives the output."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config.paths import default_state_folder, format_of, marked, output_clash, state_clash

ITSELF = "is the input itself; write the output to another path"
WITHIN = "lies within the input, and the next run would read it; write the output to another folder"
SUFFIX = "looks like a file, but many input files give a folder of files; leave the suffix out"
NO_FILE = "is not the name of a file; let it end in .parquet, .csv, .csv.gz, .jsonl or .jsonl.gz"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "in" / "rows.parquet"
    path.parent.mkdir()
    path.write_bytes(b"rows")
    return path


def test_an_output_beside_the_input_is_fine(rows):
    assert output_clash(str(rows), rows.with_name("labelled.parquet")) is None


def test_the_input_is_no_output(rows):
    assert output_clash(str(rows), rows) == ITSELF


def test_the_input_is_no_output_through_a_symbolic_link(rows, tmp_path):
    (tmp_path / "link.parquet").symlink_to(rows)
    assert output_clash(str(rows), tmp_path / "link.parquet") == ITSELF
    assert output_clash(str(tmp_path / "link.parquet"), rows) == ITSELF


def test_the_input_is_no_output_through_a_hard_link(rows, tmp_path):
    os.link(rows, tmp_path / "link.parquet")
    assert output_clash(str(rows), tmp_path / "link.parquet") == ITSELF


def test_the_input_is_no_output_through_a_linked_folder(rows, tmp_path):
    (tmp_path / "linked").symlink_to(rows.parent)
    assert output_clash(str(rows), tmp_path / "linked" / "rows.parquet") == ITSELF


def test_an_input_that_is_not_there_yet_is_no_output_either(tmp_path):
    path = tmp_path / "a.parquet"
    assert output_clash(str(path), path) == ITSELF


@pytest.mark.parametrize("name", ["out", "deep/out"])
def test_a_folder_as_input_holds_no_output(rows, name):
    assert output_clash(str(rows.parent), rows.parent / name) == WITHIN


def test_a_folder_as_input_holds_no_output_through_a_link(rows, tmp_path):
    (tmp_path / "linked").symlink_to(rows.parent)
    assert output_clash(str(rows.parent), tmp_path / "linked" / "out") == WITHIN


def test_a_folder_as_input_is_no_output(rows):
    assert output_clash(str(rows.parent), rows.parent) == ITSELF


def test_a_folder_as_input_gives_a_folder(rows, tmp_path):
    assert output_clash(str(rows.parent), tmp_path / "out") is None
    assert output_clash(str(rows.parent), tmp_path / "2026.11.23") is None
    assert output_clash(str(rows.parent), tmp_path / "out.parquet") == SUFFIX


def test_a_file_as_input_gives_a_file(rows, tmp_path):
    assert output_clash(str(rows), tmp_path / "out") == NO_FILE
    assert output_clash(str(tmp_path / "later.csv.gz"), tmp_path / "out") == NO_FILE


def test_an_input_of_unknown_kind_gives_either(tmp_path):
    assert output_clash(str(tmp_path / "later"), tmp_path / "out") is None
    assert output_clash(str(tmp_path / "later"), tmp_path / "out.parquet") is None


@pytest.mark.parametrize(
    ("pattern", "output", "clash"),
    [
        ("in/*.parquet", "out", None),
        ("in/*.parquet", "in/out", None),
        ("in/*.parquet", "in", WITHIN),
        ("in/*", "in/out", WITHIN),
        ("*/*.parquet", "out", WITHIN),
        ("in/**/*.parquet", "in/deep/out", WITHIN),
        ("in/**/*.parquet", "out", None),
        ("in/day-?/*.csv", "in/day-1", WITHIN),
        ("in/day-?/*.csv", "in/labelled", None),
        ("in/*.parquet", "out.parquet", SUFFIX),
    ],
)
def test_a_pattern_as_input_finds_no_output(tmp_path, pattern, output, clash):
    assert output_clash(str(tmp_path / pattern), tmp_path / output) == clash


def test_a_pattern_below_a_linked_folder_finds_no_output(rows, tmp_path):
    (tmp_path / "linked").symlink_to(rows.parent)
    assert output_clash(f"{tmp_path}/linked/*", rows.parent / "out") == WITHIN


def test_a_file_with_a_star_in_its_name_is_a_file(tmp_path):
    (tmp_path / "a*.parquet").write_bytes(b"")
    assert output_clash(f"{tmp_path}/a*.parquet", tmp_path / "abc.parquet") is None


def test_a_url_as_input_is_one_file_or_a_pattern(tmp_path):
    assert output_clash("s3://bucket/a.parquet", tmp_path / "out.parquet") is None
    assert output_clash("s3://bucket/a.parquet", tmp_path / "out") == NO_FILE
    assert output_clash("s3://bucket/*.parquet", tmp_path / "out") is None


def test_the_state_is_not_in_an_output_that_is_replaced_as_a_whole(tmp_path):
    output = tmp_path / "out"
    assert state_clash(str(tmp_path / "in"), output, output / "state")
    assert state_clash(str(tmp_path / "in"), output, output)
    assert state_clash(str(tmp_path / "in"), output, tmp_path / "in" / "state")
    assert state_clash(str(tmp_path / "in"), output, tmp_path / "state") is None
    assert state_clash("s3://bucket/in", output, tmp_path / "state") is None


def test_clashes_are_reported_with_their_key(job):
    (job.folder / "rows.parquet").write_bytes(b"")
    assert job.problems(output="{path: ./rows.parquet}") == [
        f"job.yaml:3: output.path: ./rows.parquet {ITSELF}"
    ]
    assert job.problems(input="{path: in/*.csv}", output="{path: out}", state="{dir: out/state}") == [
        (
            "job.yaml:4: state.dir: out/state lies within the output, which is replaced as a whole; "
            "keep the state in another folder"
        )
    ]


def test_a_star_in_the_folder_of_the_config_is_no_pattern(tmp_path, job):
    folder = tmp_path / "job[1]"
    folder.mkdir()
    (folder / "rows.parquet").write_bytes(b"")
    starred = replace(job, folder=folder)
    assert (
        starred.load(input="{path: in/*.csv}", output="{path: out}").input.path
        == f"{tmp_path}/job[[]1]/in/*.csv"
    )
    assert starred.load().input.path == f"{tmp_path}/job[1]/rows.parquet"


def test_a_url_as_input_stays_as_it_is(job):
    assert job.load(input="{path: 's3://bucket/a.parquet'}").input.path == "s3://bucket/a.parquet"


@pytest.mark.parametrize(
    ("config", "state"),
    [("/a/configs/tags.yaml", "/a/.pipeline/tags"), ("/a/tags.prod.yaml", "/a/.pipeline/tags.prod")],
)
def test_every_config_has_a_state_of_its_own(config, state):
    assert default_state_folder(Path(config)) == Path(state)


@pytest.mark.parametrize(
    ("name", "form", "other"),
    [
        ("a.parquet", "parquet", "a.limit-5.parquet"),
        ("a.b.csv", "csv", "a.b.limit-5.csv"),
        ("a.csv.gz", "csv.gz", "a.limit-5.csv.gz"),
        ("a.jsonl.gz", "jsonl.gz", "a.limit-5.jsonl.gz"),
        ("2026.11.23", None, "2026.11.23.limit-5.csv"),
        ("a", None, "a.limit-5.csv"),
    ],
)
def test_a_mark_stands_before_the_whole_suffix(name, form, other):
    assert format_of(Path("/out.csv") / name) == form
    assert marked(Path("/out") / name, "limit-5", ".csv") == Path("/out") / other

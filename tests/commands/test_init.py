"""A table becomes a job that runs as it stands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.commands.init.templates import TEMPLATES
from pipeline.config import Config, json_schema, load_config
from tests.jobs import command, last_line

pytestmark = pytest.mark.slow

SECTIONS = ("games", "mail", "fonts")
SUBJECTS = ("program", "library", "server", "viewer", "editor", "client", "daemon", "plugin")
ADJECTIVES = ("small", "fast", "simple", "modern", "graphical", "portable", "secure", "old")


def packages(count: int = 60) -> pl.DataFrame:
    """A table as many are: an id, a number, two texts, and a column of labels."""
    rows = range(count)
    return pl.DataFrame(
        {
            "price": [n * 1.5 for n in rows],
            "package": [f"pkg-{n:03}" for n in rows],
            "summary": [
                f"{ADJECTIVES[n % 8]} {SUBJECTS[n // 8 % 8]} for {SECTIONS[n % 3]}, release {n}" for n in rows
            ],
            "description": [
                f"Number {n} does what such a program does, and does it well. " * (1 + n % 4) for n in rows
            ],
            "section": [SECTIONS[n % 3] for n in rows],
        }
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


Made = Callable[..., tuple[Config, dict[str, Any], str]]


@pytest.fixture
def made(here: Path) -> Made:
    """Write a job for a table, and make sure that `check` finds nothing wrong."""

    def make(
        table: str, *arguments: str, env: dict[str, str] | None = None
    ) -> tuple[Config, dict[str, Any], str]:
        done = command("init", table, *arguments, env=env)
        assert done.returncode == 0, done.stderr
        facts = last_line(done)
        checked = command("check", facts["config"], "--provider", "simulate")
        assert checked.returncode == 0, checked.stderr
        return load_config(facts["config"]), facts, done.stderr

    assert here.is_dir()
    return make


def refused(*arguments: str) -> tuple[int, str]:
    done = command("init", *arguments)
    return done.returncode, done.stderr


def test_id_texts_and_labels_are_found_by_what_is_in_the_columns(here: Path, made: Made) -> None:
    packages().write_parquet("packages.parquet")
    config, facts, said = made("packages.parquet")
    assert config.path == here / "packages.yaml"
    assert config.input.id == "package"
    assert config.task.text == "{summary}\n{description}"
    assert config.task.gold == "section"
    assert {label.name for label in config.task.labels} == set(SECTIONS)
    assert (config.task.kind, facts["labels"]) == ("single", 3)
    assert config.output.path == here / "out" / "packages-labelled.parquet"
    assert config.state.dir == here / ".pipeline" / "packages"
    assert "--labels-from" in said


def test_what_the_columns_are_called_does_not_matter(made: Made) -> None:
    table = packages()
    table.rename({name: f"x{place}" for place, name in enumerate(table.columns)}).write_parquet("t.parquet")
    config, _, _ = made("t.parquet")
    assert (config.input.id, config.task.text, config.task.gold) == ("x1", "{x2}\n{x3}", "x4")


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_each_template_is_a_task_that_loads(made: Made, name: str) -> None:
    pl.DataFrame({"text": [f"a text of some words, number {n}" for n in range(9)]}).write_parquet("t.parquet")
    config, _, _ = made("t.parquet", "--template", name)
    assert [label.name for label in config.task.labels] == [label.name for label in TEMPLATES[name].labels]
    assert config.task.kind == TEMPLATES[name].kind
    assert config.task.gold is None


def test_the_job_runs_as_it_stands(here: Path, made: Made) -> None:
    packages().write_parquet("packages.parquet")
    made("packages.parquet")
    done = command(
        "run", "packages.yaml", "--limit", "20", "--provider", "simulate", "--set", "simulate.latency=0"
    )
    assert done.returncode == 0, done.stderr
    assert last_line(done)["ok"] == 20
    assert here.joinpath("out").is_dir()


def test_a_csv_file_of_another_dialect_and_encoding_is_read_as_it_is_meant(here: Path, made: Made) -> None:
    table = packages().with_columns(summary=pl.col("summary") + " für Größe")
    here.joinpath("t.csv").write_bytes(table.write_csv(separator=";").encode("cp1252"))
    config, _, said = made("t.csv")
    assert (config.input.csv.delimiter, config.input.csv.encoding) == (";", "cp1252")
    assert config.task.text == "{summary}\n{description}"
    assert config.output.path.name == "t-labelled.csv"
    assert "encoding 'cp1252'" in said


@pytest.mark.parametrize("separator", [",", "\t", "|"])
def test_a_csv_file_without_a_header_has_numbered_columns(made: Made, separator: str) -> None:
    packages().select("section", "summary").write_csv("t.csv", include_header=False, separator=separator)
    config, _, _ = made("t.csv")
    assert config.input.csv.header is False
    assert (config.task.gold, config.task.text) == ("column_1", "{column_2}")


def test_escaped_quotes_and_lines_above_the_header_are_noticed(here: Path, made: Made) -> None:
    rows = [f'{n},"says \\"hello\\" to all, number {n}"' for n in range(20)]
    here.joinpath("t.csv").write_text("\n".join(["Export of today", "id,text", *rows]))
    config, _, _ = made("t.csv", "--labels", "a,b")
    assert (config.input.csv.escape, config.input.csv.skip_lines) == ("\\", 1)
    assert (config.input.id, config.task.text) == ("id", "{text}")


def test_commas_within_quotes_make_no_columns(made: Made) -> None:
    texts = [f"a complaint about order {n}, which came late" for n in range(40)]
    pl.DataFrame({"text": texts}).write_csv("t.csv")
    config, _, said = made("t.csv")
    assert config.input.csv.model_fields_set == set()
    assert config.task.text == "{text}"
    assert "--no-header" in said
    pl.DataFrame({"text": texts}).write_csv("t.csv", include_header=False)
    config, _, _ = made("t.csv", "--force", "--no-header")
    assert config.input.csv.model_fields_set == {"header"}


def test_a_text_that_lists_tags_is_none_to_read(made: Made) -> None:
    tags = [", ".join([f"works-with::{n % 7}", f"use::{n % 5}", f"role::{n % 11}"]) for n in range(60)]
    packages().with_columns(tags=pl.Series(tags)).write_csv("t.csv")
    assert made("t.csv")[0].task.text == "{summary}\n{description}"
    config, facts, _ = made("t.csv", "--labels-from", "tags", "--force")
    assert (config.task.kind, facts["labels"], config.task.max_labels) == ("multi", 23, 3)


def test_utf_16_is_noticed(here: Path, made: Made) -> None:
    here.joinpath("t.csv").write_text(packages().write_csv(separator="\t"), encoding="utf-16")
    config, _, _ = made("t.csv")
    assert (config.input.csv.encoding, config.input.csv.delimiter) == ("utf-16", "\t")


def test_a_column_is_a_header_even_if_all_of_its_cells_are_text(made: Made) -> None:
    packages().select("section", "summary").write_csv("t.csv")
    config, _, _ = made("t.csv")
    assert config.input.csv.header is True
    assert config.task.gold == "section"


def test_a_folder_of_spark_is_one_table(here: Path, made: Made) -> None:
    folder = here / "spark"
    folder.mkdir()
    for number in range(3):
        packages(90)[number * 30 : (number + 1) * 30].write_parquet(
            folder / f"part-0000{number}.snappy.parquet"
        )
        (folder / f".part-0000{number}.snappy.parquet.crc").write_bytes(b"crc")
    (folder / "_SUCCESS").touch()
    config, _, said = made("spark")
    assert config.input.path == str(folder)
    assert config.output.path == here / "out" / "spark-labelled"
    assert "90 rows" in said


def test_a_job_within_its_own_input_folder_keeps_its_output_outside(
    here: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = here / "in"
    folder.mkdir()
    packages().write_csv(folder / "a.csv")
    monkeypatch.chdir(folder)
    config, _, _ = made(".")
    assert config.output.path == here / "out" / "in-labelled"
    assert config.output.format == "csv"
    assert config.path.read_text().startswith(
        "# yaml-language-server: $schema=../.pipeline/config.schema.json\n"
    )


def test_a_glob_of_json_lines(made: Made, here: Path) -> None:
    (here / "in").mkdir()
    packages().write_ndjson(here / "in" / "a.jsonl")
    config, _, _ = made("in/*.jsonl")
    assert config.output.format == "jsonl"
    assert config.task.gold == "section"


def test_a_column_of_lists_makes_a_task_of_several_labels(made: Made) -> None:
    tags = [["games"], ["mail", "fonts"], [], None] * 15
    packages().with_columns(tags=pl.Series(tags)).write_parquet("t.parquet")
    config, _, _ = made("t.parquet", "--labels-from", "tags")
    assert (config.task.kind, config.task.max_labels, config.task.gold) == ("multi", 2, "tags")
    assert {label.name for label in config.task.labels} == {"games", "mail", "fonts"}


def test_labels_that_yaml_would_take_for_something_else_stay_texts(made: Made) -> None:
    values = ["no", "12", "2026-01-01", "null", "a: b", 'say "x"', "- dash", "ünï {x}", "#1"]
    rows = [values[n % len(values)] for n in range(90)]
    pl.DataFrame({"text": [f"a text of words {n}" for n in range(90)], "kind": rows}).write_parquet(
        "t.parquet"
    )
    config, _, _ = made("t.parquet", "--labels-from", "kind")
    assert {label.name for label in config.task.labels} == set(values)


def test_labels_of_the_column_get_the_descriptions_of_the_template(made: Made) -> None:
    feelings = ["Positive", "negative"] * 30
    pl.DataFrame({"text": [f"a text of words {n}" for n in range(60)], "mood": feelings}).write_parquet(
        "t.parquet"
    )
    config, _, _ = made("t.parquet", "--labels-from", "mood", "--template", "sentiment")
    assert {label.name: bool(label.description) for label in config.task.labels} == {
        "Positive": True,
        "negative": True,
    }


def test_most_texts_fit_below_the_cut_and_the_rest_is_counted(made: Made) -> None:
    texts = ["word " * 200] * 95 + ["word " * 4000] * 5
    pl.DataFrame({"text": [f"{n} {text}" for n, text in enumerate(texts)]}).write_parquet("t.parquet")
    config, _, said = made("t.parquet")
    assert 250 <= config.task.max_text_tokens <= 300
    assert "about 5 would be cut" in said


def test_markup_is_told_of(made: Made) -> None:
    pl.DataFrame({"body": [f"<p>my <b>order</b> {n} is late</p>" for n in range(20)]}).write_parquet(
        "t.parquet"
    )
    _, _, said = made("t.parquet", "--template", "tickets")
    assert "HTML" in said


def test_who_is_asked_is_the_one_whose_key_is_set(made: Made) -> None:
    packages().write_parquet("t.parquet")
    assert made("t.parquet", env={"OPENAI_API_KEY": "x"})[0].model.provider == "openai"
    assert made("t.parquet", "--force", env={"OXEN_API_KEY": "x"})[0].model.provider == "oxen"
    config, _, _ = made("t.parquet", "--force", "--base-url", "http://127.0.0.1:1/v1", "--model", "m")
    assert (config.model.provider, config.model.name) == ("openai-compatible", "m")


def test_the_editors_schema_lies_where_the_first_line_says(here: Path, made: Made) -> None:
    packages().write_parquet("t.parquet")
    config, _, _ = made("t.parquet", "--to", "jobs/t.yaml")
    first = config.path.read_text().splitlines()[0]
    schema = config.path.parent / first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads(schema.read_text()) == json_schema()
    assert config.input.path == str(here / "t.parquet")


def test_a_config_is_replaced_by_force_only(here: Path, made: Made) -> None:
    packages().write_parquet("t.parquet")
    here.joinpath("t.yaml").write_text("mine")
    status, said = refused("t.parquet")
    assert (status, here.joinpath("t.yaml").read_text()) == (73, "mine")
    assert "--force" in said
    made("t.parquet", "--force")


def test_one_column_of_text_is_enough(made: Made) -> None:
    pl.DataFrame({"q": [f"cheap flights {n}" for n in range(30)]}).write_csv("t.csv")
    config, _, _ = made("t.csv")
    assert (config.task.text, config.input.id) == ("{q}", None)


def test_numbers_alone_are_no_text(here: Path) -> None:
    pl.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}).write_parquet("t.parquet")
    status, said = refused("t.parquet")
    assert status == 65
    assert "a (number), b (number)" in said
    assert not here.joinpath("t.yaml").exists()


def test_numbers_are_labelled_if_they_are_named(made: Made) -> None:
    pl.DataFrame({"a": range(30), "b": range(30)}).write_parquet("t.parquet")
    assert made("t.parquet", "--text", "b", "--labels", "even,odd")[0].task.text == "{b}"


def test_two_hundred_columns(made: Made) -> None:
    more = {f"c{n}": [n * k for k in range(60)] for n in range(200)}
    packages().with_columns(**{name: pl.Series(values) for name, values in more.items()}).write_csv("t.csv")
    config, _, _ = made("t.csv")
    assert config.task.text == "{summary}\n{description}"


@pytest.mark.usefixtures("here")
def test_a_name_with_braces_cannot_be_read_by_a_template(made: Made) -> None:
    texts = [f"ein Text von Wörtern {n}" for n in range(30)]
    pl.DataFrame({"größe {cm}": texts, "texte ü.x": texts}).write_parquet("t.parquet")
    config, _, said = made("t.parquet")
    assert config.task.text == "{texte ü.x}"
    assert "brace" in said
    assert refused("t.parquet", "--force", "--text", "größe {cm}")[0] == 78
    pl.DataFrame({"größe {cm}": texts}).write_parquet("t.parquet")
    assert refused("t.parquet", "--force")[0] == 65


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["t.parquet", "--text", "sumary"], 78, "did you mean 'summary'"),
        (["t.parquet", "--labels-from", "package"], 0, ""),
        (["t.parquet", "--labels", "a"], 2, "fewer than 2"),
        (["t.parquet", "--labels", "a,A"], 2, "twice"),
        (["t.parquet", "--labels", "a,b", "--labels-from", "section"], 2, "give one of them"),
        (["t.parquet", "--text", "section", "--labels-from", "section"], 2, "must not read it"),
        (["t.parquet", "--template", "x"], 2, "sentiment"),
        (["t.parquet", "--provider", "x"], 2, "oxen"),
        (["t.parquet", "--provider", "openai-compatible"], 2, "--base-url"),
        (["none.parquet"], 66, "no such file"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(arguments: list[str], status: int, words: str) -> None:
    packages().write_parquet("t.parquet")
    found, said = refused(*arguments)
    assert found == status
    assert words in said


@pytest.mark.usefixtures("here")
def test_a_table_without_rows_has_nothing_to_look_at() -> None:
    packages(0).write_parquet("t.parquet")
    packages(0).write_csv("t.csv")
    assert [refused(name)[0] for name in ("t.parquet", "t.csv")] == [65, 65]


def test_in_a_pipe_nothing_is_asked_and_what_was_decided_can_be_changed(made: Made) -> None:
    pl.DataFrame({"text": [f"a text of words {n}" for n in range(30)]}).write_parquet("t.parquet")
    _, facts, said = made("t.parquet")
    assert facts["labels"] == len(TEMPLATES["topics"].labels)
    assert all(flag in said for flag in ("--text", "--id", "--labels", "--template", "--provider"))


@pytest.mark.usefixtures("here")
def test_the_next_commands_are_printed() -> None:
    packages().write_parquet("t.parquet")
    said = command("init", "t.parquet").stderr
    assert [verb for verb in ("check", "plan", "run", "evaluate") if f"pipeline {verb} t.yaml" in said] == [
        "check", "plan", "run", "evaluate",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "different"), [("subject", 12), ("first", 80)])
def test_a_title_is_read_with_the_body_although_titles_repeat(
    here: Path, made: Made, name: str, different: int
) -> None:
    subjects = [f"{ADJECTIVES[n % different % 8]} printer {n % different} is broken" for n in range(600)]
    bodies = [f"My printer number {n} makes noise since yesterday, please help." for n in range(600)]
    queues = [("print shop", "front desk")[n % 2] for n in range(600)]
    pl.DataFrame({name: subjects, "queue": queues, "body": bodies}).write_csv(here / "tickets.csv")
    config, facts, _ = made("tickets.csv")
    assert config.task.text == f"{{{name}}}\n{{body}}"
    assert facts["gold"] == "queue"


def test_two_configs_for_one_table_have_an_output_and_a_state_each(here: Path, made: Made) -> None:
    packages().write_csv(here / "t.csv")
    first, second, third = (
        made("t.csv", *to)[0] for to in ([], ["--to", "short.yaml"], ["--to", "v.2.yaml"])
    )
    assert [each.output.path.name for each in (first, second, third)] == [
        "t-labelled.csv",
        "short-labelled.csv",
        "v-2-labelled.csv",
    ]
    assert len({each.state.dir for each in (first, second, third)}) == 3


@pytest.mark.usefixtures("here")
def test_an_endpoint_that_cannot_be_is_a_slip_and_no_bug() -> None:
    packages().write_parquet("t.parquet")
    status, words = refused("t.parquet", "--provider", "openai-compatible", "--base-url", "nowhere")
    assert status == 2
    assert "--base-url: is not an http or https URL" in words

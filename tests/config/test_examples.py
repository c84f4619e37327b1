"""The configs and the table that come with the project."""

import csv
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from pipeline.config import load_config

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
SECTIONS = ("games", "sound", "graphics", "science", "mail", "fonts", "database", "editors")


@pytest.mark.parametrize("name", ["tags", "topics", "openai", "own-server"])
def test_the_examples_load_and_fit_their_table(name):
    config = load_config(ROOT / "configs" / f"{name}.yaml", env={})
    assert config.path == ROOT / "configs" / f"{name}.yaml"
    assert Path(config.input.path) == ROOT / "data" / "sample" / "packages.parquet"
    assert config.output.path == ROOT / "out" / f"packages-{name}.parquet"
    assert config.state.dir == ROOT / ".pipeline" / name
    assert {config.input.id, *config.task.columns} <= set(pl.read_parquet_schema(config.input.path))


@pytest.mark.parametrize("name", ["tags", "openai", "own-server"])
def test_the_labels_of_an_example_with_one_label_are_the_sections_of_its_table(name):
    config = load_config(ROOT / "configs" / f"{name}.yaml", env={})
    sections = pl.read_parquet(config.input.path, columns=["section"])["section"].unique()
    assert {label.name for label in config.task.labels} == set(sections)
    assert all(label.description for label in config.task.labels)


def test_the_labels_of_the_second_example_are_tags_of_its_table():
    config = load_config(ROOT / "configs" / "topics.yaml", env={})
    tags = pl.read_parquet(config.input.path, columns=["tags"])["tags"].explode(empty_as_null=False)
    assert {label.name for label in config.task.labels} <= set(tags)


def test_the_example_of_a_model_that_reasons_leaves_to_the_program_what_such_models_refuse():
    model = load_config(ROOT / "configs" / "openai.yaml", env={}).model
    assert model.reasoning_effort == "auto"
    assert model.model_fields_set.isdisjoint({"temperature", "top_p", "logprobs", "structured_output"})
    assert model.price is not None  # its budget needs one


def test_the_example_of_a_server_of_ones_own_asks_this_machine_and_costs_nothing():
    model = load_config(ROOT / "configs" / "own-server.yaml", env={}).model
    assert model.provider == "openai-compatible"
    assert (model.base_url or "").startswith("http://127.0.0.1:")
    assert (model.price.input, model.price.output) == (0, 0)


def test_the_sample_holds_thirty_packages_of_each_of_eight_sections():
    rows = pl.read_parquet(SAMPLE / "packages.parquet").to_dicts()
    assert Counter(row["section"] for row in rows) == dict.fromkeys(SECTIONS, 30)
    assert len({row["package"] for row in rows}) == 240
    assert sum(not row["tags"] for row in rows) == 115


def test_both_files_hold_the_same_rows_in_the_same_order():
    rows = pl.read_parquet(SAMPLE / "packages.parquet").to_dicts()
    with (SAMPLE / "packages.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines == [row | {"tags": ", ".join(row["tags"])} for row in rows]

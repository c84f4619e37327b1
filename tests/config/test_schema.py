"""What editors are told, and the configs that come with the project."""

from pathlib import Path

import polars as pl
import pytest

from pipeline.config import json_schema, load_config

ROOT = Path(__file__).parents[2]


def properties(schema):
    for section in [schema, *schema["$defs"].values()]:
        for alternative in [section, *section.get("anyOf", [])]:
            yield from alternative.get("properties", {}).items()


def test_the_schema_names_its_draft_and_the_sections():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(schema["properties"]) == [
        "input",
        "task",
        "model",
        "limits",
        "output",
        "state",
        "notify",
        "simulate",
    ]
    assert schema["required"] == ["input", "task", "output"]
    assert schema["additionalProperties"] is False


def test_every_key_is_described():
    for name, about in properties(json_schema()):
        assert about.get("description") or "$ref" in about, name


def test_defaults_are_told_as_they_would_be_written():
    limits = json_schema()["$defs"]["LimitSettings"]["properties"]
    assert limits["max_concurrency"]["default"] == 64
    assert limits["max_failed"]["default"] == "1%"
    assert limits["max_outage"]["default"] == "30m"
    assert limits["drain"]["default"] == "25s"


def test_a_label_may_be_a_text_for_editors_too():
    text, mapping = json_schema()["$defs"]["LabelSettings"]["anyOf"]
    assert text["type"] == "string"
    assert mapping["required"] == ["name"]


def test_a_variable_may_stand_for_a_number_but_not_in_the_task():
    sections = json_schema()["$defs"]
    filled_in = {"type": "string", "pattern": r"\$\{"}
    assert filled_in in sections["LimitSettings"]["properties"]["drain"]["anyOf"]
    assert filled_in in sections["ModelSettings"]["properties"]["provider"]["anyOf"]
    assert filled_in not in sections["TaskSettings"]["properties"]["max_text_tokens"]["anyOf"]


@pytest.mark.parametrize("name", ["tags", "topics"])
def test_the_examples_load_and_fit_their_table(name):
    config = load_config(ROOT / "configs" / f"{name}.yaml", env={})
    assert config.path == ROOT / "configs" / f"{name}.yaml"
    assert Path(config.input.path) == ROOT / "data" / "sample" / "packages.parquet"
    assert config.output.path == ROOT / "out" / f"packages-{name}.parquet"
    assert config.state.dir == ROOT / ".pipeline" / name
    assert {config.input.id, *config.task.columns} <= set(pl.read_parquet_schema(config.input.path))


def test_the_labels_of_the_first_example_are_the_sections_of_its_table():
    config = load_config(ROOT / "configs" / "tags.yaml", env={})
    sections = pl.read_parquet(config.input.path, columns=["section"])["section"].unique()
    assert {label.name for label in config.task.labels} == set(sections)
    assert all(label.description for label in config.task.labels)


def test_the_labels_of_the_second_example_are_tags_of_its_table():
    config = load_config(ROOT / "configs" / "topics.yaml", env={})
    tags = pl.read_parquet(config.input.path, columns=["tags"])["tags"].explode(empty_as_null=False)
    assert {label.name for label in config.task.labels} <= set(tags)

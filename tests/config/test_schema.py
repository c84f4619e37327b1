"""The JSON Schema of a config, for editors."""

from pathlib import Path

from pipeline.config import json_schema

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
        "escalate",
        "output",
        "state",
        "gates",
        "notify",
        "student",
        "carry",
        "simulate",
    ]
    assert schema["required"] == ["input", "task", "output"]
    assert schema["additionalProperties"] is False


def test_every_key_is_described():
    for name, about in properties(json_schema()):
        assert about.get("description") or "$ref" in about, name


def test_defaults_are_shown_as_a_user_would_write_them():
    limits = json_schema()["$defs"]["LimitSettings"]["properties"]
    assert limits["max_concurrency"]["default"] == 64
    assert limits["max_failed"]["default"] == "1%"
    assert limits["max_outage"]["default"] == "30m"
    assert limits["drain"]["default"] == "25s"


def test_a_label_may_be_a_plain_text():
    text, mapping = json_schema()["$defs"]["LabelSettings"]["anyOf"]
    assert text["type"] == "string"
    assert mapping["required"] == ["name"]


def test_a_variable_may_stand_for_a_number_but_not_in_the_task():
    sections = json_schema()["$defs"]
    filled_in = {"type": "string", "pattern": r"\$\{"}
    assert filled_in in sections["LimitSettings"]["properties"]["drain"]["anyOf"]
    assert filled_in in sections["ModelSettings"]["properties"]["provider"]["anyOf"]
    assert filled_in not in sections["TaskSettings"]["properties"]["max_text_tokens"]["anyOf"]

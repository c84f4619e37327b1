"""The JSON Schema of the config, for editors."""

from typing import Any

from pipeline.config.models import Config

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILLED_IN = {"type": "string", "pattern": r"\$\{"}
# The sections in which `${NAME}` is not substituted.
_NOT_FILLED_IN = ("TaskSettings", "LabelSettings", "ExampleSettings")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config file, with descriptions and defaults."""
    schema = Config.model_json_schema()
    for name, section in schema["$defs"].items():
        if name not in _NOT_FILLED_IN:
            whole = section["anyOf"][-1] if "anyOf" in section else section  # for which a text may be short
            whole["properties"] = {key: _or_filled_in(value) for key, value in whole["properties"].items()}
    return {
        "$schema": _DIALECT,
        "title": "pipeline config",
        **{k: v for k, v in schema.items() if k != "title"},
    }


def _or_filled_in(value: dict[str, Any]) -> dict[str, Any]:
    """Extend a property's schema to accept `${NAME}`; sections, lists and free text stay unchanged."""
    if "$ref" in value or ("enum" not in value and value.get("type") in {"string", "object", "array"}):
        return value
    about: dict[str, Any] = {key: value[key] for key in ("title", "description", "default") if key in value}
    rule = {key: value[key] for key in value if key not in about}
    return {**about, "anyOf": [*rule.get("anyOf", [rule]), _FILLED_IN]}

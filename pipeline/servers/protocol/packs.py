"""Requests about several rows, as a server sees them: an array of objects, with an id and a text each, on the last line."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson


def rows_in(content: str) -> tuple[tuple[str, str], ...]:
    """Return the id and the text of each row that the user message *content* is about; nothing if it is about one."""
    if not content.endswith("}]"):
        return ()
    try:
        found = orjson.loads(content.rpartition("\n")[2])
        return tuple((each["id"], each["text"]) for each in found)
    except (ValueError, KeyError, TypeError):
        return ()


def schema_of_one(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of the answer about one row, of that about several; nothing if it has none."""
    properties = schema.get("properties", {})
    if "answers" in properties:
        fields = dict(properties["answers"].get("items", {}).get("properties", {}))
        fields.pop("id", None)
        return {"properties": fields}
    answer = schema.get("$defs", {}).get("a")
    if answer is None:
        return {}
    return {"properties": {"labels" if answer.get("type") == "array" else "label": answer}}


def content_of_rows(ids: Sequence[str], answers: Sequence[str | Sequence[str]], *, listed: bool) -> str:
    """Return the content of a right reply about several rows; *listed* in a list, where it would else be an object."""
    pairs = list(zip(ids, answers, strict=True))
    if not listed:
        return orjson.dumps(dict(pairs)).decode()
    entries = [{"id": name, "label" if isinstance(one, str) else "labels": one} for name, one in pairs]
    return orjson.dumps({"answers": entries}).decode()

"""What an endpoint's object about a model says of the parameters that the model takes.

Oxen.ai has a JSON schema of the request in it, OpenRouter a list of names. An open schema does not say what is refused,
so only a closed one, or the list, takes a part away; what decides in the end is whether a request is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.config import ModelSettings
from pipeline.llm.protocol.form import EFFORTS, LIMITS, Part, RequestForm, is_free, weaker, without

SCHEMAS = ("json_request_schema", "request_schema")
LIST = "supported_parameters"

ANY_OF = frozenset({"messages", "temperature", *LIMITS})
"""A list or schema with none of these is not about chat completions."""

NAMES: tuple[tuple[Part, frozenset[str]], ...] = (
    ("logprobs", frozenset({"logprobs"})),
    ("temperature", frozenset({"temperature"})),
    ("effort", frozenset({"reasoning_effort", "reasoning"})),
    ("structure", frozenset({"response_format", "structured_outputs"})),
)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a model takes.

    Attributes:
        names: The parameters.
        closed: Whether it takes no others.
        efforts: The values of `reasoning_effort`, if they are listed.
        schemas: Whether it binds replies to a schema, as far as is known.
    """

    names: frozenset[str]
    closed: bool
    efforts: tuple[str, ...] = ()
    schemas: bool = True


def fitted(form: RequestForm, model: ModelSettings, about: Mapping[str, Any]) -> RequestForm:
    """Return *form* without what the endpoint's object *about* the model does not list, where the config allows it."""
    taken = _taken(about)
    if taken is None or not taken.names & ANY_OF:
        return form
    offered = [name for name in LIMITS if name in taken.names]
    if offered and form.limit not in offered:
        form = replace(form, limit=offered[0])
    least = next((effort for effort in EFFORTS if effort in taken.efforts), None)
    if least is not None and is_free("effort", model):
        form = replace(form, effort=least)
    for part, names in NAMES if taken.closed else ():
        if not names & taken.names:
            form = without(form, part, model)
    if not taken.schemas and form.mode == "json_schema":
        form = weaker(form, "structure", model) or form
    return form


def _taken(about: Mapping[str, Any]) -> _Taken | None:
    inner = about.get("data")
    about = inner if isinstance(inner, Mapping) else about
    listed = about.get(LIST)
    if isinstance(listed, list):
        names = frozenset(name for name in listed if isinstance(name, str))
        return _Taken(names, closed=True, schemas="structured_outputs" in names)
    return next((found for name in SCHEMAS if (found := _of_schema(about.get(name))) is not None), None)


def _of_schema(schema: Any) -> _Taken | None:
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            return None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return None
    effort = properties.get("reasoning_effort")
    values = effort.get("enum") if isinstance(effort, dict) else None
    efforts = tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()
    return _Taken(frozenset(properties), closed=schema.get("additionalProperties") is False, efforts=efforts)

"""Word problems as lines that a user can act on: `<file>:<line>: <key>: <what>; <fix>`.

Each is a single line, whatever the config holds, and never holds a secret: a value is shown as written in the file,
so that `${NAME}` stays `${NAME}`, and is not shown at all where it may be an API key.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, get_args
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from pipeline.config.document import Loc, Node, Problem, Scalar, dotted
from pipeline.config.models import Config
from pipeline.system.redaction import is_secret_name

_LONGEST_SHOWN = 60
# Prefixes of the API keys of known services, and of the value of an authorization header.
_KEY_VALUE = re.compile(r"(?<![A-Za-z])sk-|(?:bearer |gsk_|hf_|xai-|AIza)[^\s$]{16,}", re.IGNORECASE)
_KEY_NAME = re.compile(r"(?:.*_)?(?:api_?key|secret|password)|key|token|(?:access|auth|bearer)_token")
_TOKEN_LIKE = re.compile(r"\S{20,}")
_NEVER_SHOWN = {"headers", "proxy", "api_key_env", "api_key_file"}
_USE_VARIABLE = "; use api_key_env with the name of the variable that holds it"


def secrets_written_out(root: Node) -> list[Problem]:
    """Find API keys in the sections about models; they belong in the environment or in a file of their own."""
    return [_secret(loc) for loc, scalar in _of_models(root) if _is_secret(loc, scalar.source)]


def headers(root: Node) -> list[str]:
    """Return the values of the headers in the sections about models, as they are written."""
    return [scalar.source for loc, scalar in _of_models(root) if _key(loc)[:1] == ("headers",)]


def guessed_labels(root: Node) -> list[Problem]:
    """Find unquoted labels that YAML tools read as a boolean, a number, a date or null."""
    return [
        Problem(loc, f"is {_kind(scalar)} to YAML; quote it", shown=True)
        for loc, scalar in _scalars(root, "task")
        if scalar.is_guessed and _is_label(loc)
    ]


def refusals(error: ValidationError, root: Node) -> list[Problem]:
    """Word the errors of pydantic."""
    found: list[Problem] = []
    for item in error.errors(include_url=False, include_input=False):
        loc, context = item["loc"], item.get("ctx", {})
        if item["type"] == "wrong":
            found += [
                Problem((*loc, *within), sentence, shown=True) for within, sentence in context["problems"]
            ]
        else:
            found.append(_refusal(item["type"], loc, context, root))
    return found


def lines(problems: Iterable[Problem], root: Node) -> list[str]:
    """Render problems, sorted by line, those of another file last, and without repetitions."""
    nodes = ((root.at(problem.loc)[0], _line(problem, root)) for problem in problems)
    placed = [((bool(node.line) and node.file != root.file, node.line), line) for node, line in nodes]
    return list(dict.fromkeys(line for _, line in sorted(placed, key=itemgetter(0))))


def escaped(text: str) -> str:
    """Escape line breaks and all other characters that a terminal would act on."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def close_to(name: str, names: Iterable[str]) -> str:
    """Return a hint for an unknown *name*: the most similar of *names*, or all of them."""
    known = list(names)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"write {'one of ' * (len(known) > 1)}{', '.join(known)}"


def _line(problem: Problem, root: Node) -> str:
    node, there = root.at(problem.loc)
    place = f"{node.file}:{node.line}" if node.line else node.file
    value = _shown(problem.loc, node) if problem.shown and there else ""
    key = f"{dotted(problem.loc)}: " if problem.loc else ""
    return escaped(f"{place}: {key}{value}{problem.sentence}")


def _shown(loc: Loc, node: Node) -> str:
    if not isinstance(node.content, Scalar) or not node.content.source:
        return ""
    text = node.content.source
    if _may_be_secret(loc, text):
        return ""
    short = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
    return (short if node.content.plain else json.dumps(short, ensure_ascii=False)) + " "


def _may_be_secret(loc: Loc, text: str) -> bool:
    if loc[0] == "notify":  # the address itself is the secret
        return True
    if "://" in text:
        return any(mark in text for mark in "@?#")
    if any(loc[: len(each)] == each for each in _MODELS) and (
        not _NEVER_SHOWN.isdisjoint(_key(loc)[:1]) or _TOKEN_LIKE.search(text)
    ):
        return True
    return _KEY_VALUE.search(text) is not None


def _is_secret(loc: Loc, source: str) -> bool:
    if _key(loc)[:1] == ("headers",) and is_secret_name(str(loc[-1])):
        return "${" not in source
    if _key(loc) == ("base_url",):
        query = parse_qsl(source.partition("?")[2])
        return any(is_secret_name(name) and "${" not in value for name, value in query)
    if _key(loc) == ("proxy",):
        password = source.rpartition("@")[0].rpartition("://")[2].partition(":")[2]
        return bool(password) and "${" not in password
    return _KEY_VALUE.match(source.strip()) is not None


def _of_models(root: Node) -> Iterable[tuple[Loc, Scalar]]:
    return (each for section in _MODELS for each in _scalars(root, *section))


_MODELS: tuple[tuple[str, ...], ...] = (("model",), ("escalate", "model"))
"""The sections that say who is asked."""


def _key(loc: Loc) -> Loc:
    """Return where something is below a section about a model, or below an entry of its list `endpoints`."""
    loc = loc[loc[:1] == ("escalate",) :]
    return loc[3:] if loc[1:2] == ("endpoints",) else loc[1:]


def _is_label(loc: Loc) -> bool:
    if loc[1:2] == ("labels",):
        return isinstance(loc[-1], int) or loc[-1] == "name"
    return loc[1:2] == ("examples",) and not {"label", "labels"}.isdisjoint(loc[3:])


def _kind(scalar: Scalar) -> str:
    value = scalar.value
    if value is None:
        return "nothing"
    if isinstance(value, bool) or scalar.source[:1].isalpha():
        return "true or false"
    return "a date" if re.match(r"[0-9]{4}-", scalar.source) else "a number"


def _secret(loc: Loc) -> Problem:
    if _key(loc)[:1] in {("headers",), ("proxy",), ("base_url",)}:
        return Problem(
            loc, "holds a secret, which does not belong in the config; write ${NAME} and set that variable"
        )
    return Problem(loc, "looks like an API key, which does not belong in the config" + _USE_VARIABLE)


def _scalars(root: Node, *section: str) -> Iterable[tuple[Loc, Scalar]]:
    node, there = root.at(section)
    return _scalars_below(node, section) if there else ()


def _scalars_below(node: Node, loc: Loc) -> Iterable[tuple[Loc, Scalar]]:
    if isinstance(node.content, Scalar):
        yield loc, node.content
        return
    children: Iterable[tuple[str | int, Node]] = (
        node.content.items() if isinstance(node.content, dict) else enumerate(node.content)
    )
    for step, child in children:
        yield from _scalars_below(child, (*loc, step))


def _refusal(kind: str, loc: Loc, context: Mapping[str, Any], root: Node) -> Problem:
    if kind == "extra_forbidden":
        return Problem(loc, _unknown_key(loc))
    if kind == "missing":
        return Problem(loc, f"is missing; add it ({_description(loc)})")
    node, _ = root.at(loc)
    if kind == "literal_error":
        hint = close_to(
            node.content.source if isinstance(node.content, Scalar) else "", _choices(context["expected"])
        )
        return Problem(loc, f"is not known; {hint}", shown=True)
    wanted = _WANTED.get(kind)
    if wanted is None:
        return Problem(loc, f"cannot be used ({kind}); see the schema command")
    return Problem(loc, f"is {_what(node)}; write {wanted}", shown=False)


_WANTED = {
    "string_type": "text, in quotes if YAML reads it as something else",
    "path_type": "a path, in quotes if YAML reads it as something else",
    "model_type": "a mapping with its keys below it",
    "model_attributes_type": "a mapping with its keys below it",
    "dict_type": "a mapping with its keys below it",
    "tuple_type": "a list, such as [one, two]",
}


def _what(node: Node) -> str:
    if isinstance(node.content, Scalar):
        value = node.content.value
        names = {bool: "true or false", int: "a number", float: "a number", str: "text", type(None): "empty"}
        return names[type(value)]
    return "a mapping" if isinstance(node.content, dict) else "a list"


def _choices(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected) or [expected]


def _unknown_key(loc: Loc) -> str:
    key = str(loc[-1])
    if _KEY_NAME.fullmatch(key.lower().replace("-", "_")):
        return "does not belong in the config" + _USE_VARIABLE
    model = _model_at(loc[:-1])
    names = [name for name, about in model.model_fields.items() if about.description] if model else []
    return f"is an unknown key; {close_to(key, names)}"


def _description(loc: Loc) -> str:
    model = _model_at(loc[:-1])
    field = model.model_fields.get(str(loc[-1])) if model else None
    text = (field.description if field else None) or "it is needed"
    starts_with_a_word = text[1:2].islower()
    return (text[0].lower() if starts_with_a_word else text[0]) + text[1:].rstrip(".")


def _model_at(loc: Loc) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Config
    for step in loc:
        if isinstance(step, int) or model is None:
            continue
        field = model.model_fields.get(step)
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)

"""A YAML text as a tree that remembers its lines and what was quoted.

Types are worked out here, after YAML 1.2's core schema, and not by the YAML library: a label must be
told apart from what other YAML tools would read as a boolean, a number or a date.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from pipeline.errors import ConfigError

Loc: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = str | int | float | bool | None
_Raw: TypeAlias = MappingNode | SequenceNode | ScalarNode

# Aliases may repeat a node without end; no honest config comes near these.
_MAX_VALUES = 100_000
_MAX_DEPTH = 20

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]{0,30}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# What YAML 1.1 tools (PyYAML, Go, Ruby) make of plain scalars, https://yaml.org/type/.
_GUESSED = re.compile(
    r"~?|null|y|n|yes|no|on|off|true|false|=|<<"
    r"|[-+]?(?:0b[01_]+|0x[0-9a-f_]+|0o[0-7]+|(?:[0-9][0-9_]*(?::[0-5]?[0-9])*(?:\.[0-9_]*)?|\.[0-9_]+)(?:e[-+]?[0-9]+)?)"
    r"|[-+]?\.inf|\.nan"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt\s].*)?",
    re.IGNORECASE,
)
_STANDARD_TAG = re.compile(r"tag:yaml\.org,2002:(?:str|int|float|bool|null|timestamp|merge|value|map|seq)")
_QUOTED_WORD = re.compile(r" '[^'<>]{3,}'")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar as it is written.

    Attributes:
        source: The text without its quotes.
        plain: Whether it stands without quotes, so that YAML guesses its type.
    """

    source: str
    plain: bool

    @property
    def value(self) -> Value:
        """What YAML 1.2 makes of it."""
        return _plain_value(self.source) if self.plain else self.source

    @property
    def is_guessed(self) -> bool:
        """Whether some YAML tool would read it as something else than text."""
        return self.plain and _GUESSED.fullmatch(self.source) is not None


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the document and where it is written.

    Attributes:
        content: The value.
        file: The file as the user named it, or the option that it came from.
        line: Line from 1 of its key or, in a list, of the value; 0 for an option.
    """

    content: "dict[str, Node] | list[Node] | Scalar"
    file: str
    line: int

    def at(self, loc: Loc) -> "tuple[Node, bool]":
        """The node at a path of keys and indexes, or its nearest ancestor, and whether it is there."""
        node = self
        for step in loc:
            child = node._child(step)
            if child is None:
                return node, False
            node = child
        return node, True

    def _child(self, step: str | int) -> "Node | None":
        if isinstance(self.content, dict):
            return self.content.get(str(step))
        if isinstance(self.content, list) and isinstance(step, int) and step < len(self.content):
            return self.content[step]
        return None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place; the sentence reads on from the key or from the value.

    Attributes:
        loc: Where it is.
        sentence: `<what>; <fix>`.
        shown: Whether the value may be put before the sentence.
    """

    loc: Loc
    sentence: str
    shown: bool = False


def parse_document(text: str, file: str) -> tuple[Node, list[Problem]]:
    """Read a whole config: its tree and what is wrong with its structure.

    Raises:
        ConfigError: It is no YAML, it is empty, or its top is no mapping.
    """
    root = _compose(text, file)
    if root is None:
        raise ConfigError(f"{file}:1: is empty; it needs the keys input, task and output")
    if not isinstance(root, MappingNode):
        raise ConfigError(
            f"{file}:{root.start_mark.line + 1}: is no mapping; start with input:, task: and output:"
        )
    reader = _Reader(file, numbered=True)
    return reader.read(root, 1, ()), reader.problems


def parse_value(text: str, option: str) -> tuple[Node, list[Problem]]:
    """Read the value of an option: a quoted scalar, a flow list, a flow mapping, or else plain text.

    Raises:
        ConfigError: It begins like a quoted or flow value and is none.
    """
    if not text.lstrip().startswith(("[", "{", '"', "'")):
        return Node(Scalar(text.strip(), plain=True), option, 0), []
    root = _compose(text, option) or ScalarNode("tag:yaml.org,2002:null", "")
    reader = _Reader(option, numbered=False)
    return reader.read(root, 0, ()), reader.problems


class _Reader:
    """Turns the YAML library's nodes into ours and collects what is wrong with them."""

    def __init__(self, file: str, *, numbered: bool) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._numbered = numbered
        self._values = 0

    def read(self, raw: _Raw, line: int, loc: Loc) -> Node:
        self._values += 1
        if len(loc) > _MAX_DEPTH or self._values > _MAX_VALUES:
            raise ConfigError(
                f"{self._file}:{line}: is nested too deeply or refers to itself; write the values out"
            )
        if _STANDARD_TAG.fullmatch(str(raw.tag)) is None:
            self.problems.append(Problem(loc, "carries a YAML tag (!...); leave the tag out"))
        return Node(self._content(raw, loc), self._file, line)

    def _content(self, raw: _Raw, loc: Loc) -> dict[str, Node] | list[Node] | Scalar:
        if isinstance(raw, MappingNode):
            return self._mapping(raw, loc)
        if isinstance(raw, SequenceNode):
            return [self.read(item, self._line(item), (*loc, index)) for index, item in enumerate(raw.value)]
        # A plain scalar that the library calls text may carry an explicit !!str.
        forced = str(raw.tag).endswith(":str") and not isinstance(_plain_value(raw.value), str)
        return Scalar(raw.value, plain=raw.style is None and not forced)

    def _mapping(self, raw: MappingNode, loc: Loc) -> dict[str, Node]:
        content: dict[str, Node] = {}
        for key, value in raw.value:
            line = self._line(key)
            if not isinstance(key, ScalarNode):
                self.problems.append(Problem(loc, f"has a key on line {line} that is no text; write a name"))
            elif key.value in content:
                first = content[key.value].line
                self.problems.append(
                    Problem(
                        (*loc, key.value), f"is given twice, on lines {first} and {line}; keep one of them"
                    )
                )
            else:
                content[key.value] = self.read(value, line, (*loc, key.value))
        return content

    def _line(self, raw: _Raw) -> int:
        return raw.start_mark.line + 1 if self._numbered else 0


def _compose(text: str, file: str) -> _Raw | None:
    """Parse to the YAML library's nodes; None where there is nothing but comments."""
    try:
        return YAML(typ="safe", pure=True).compose(text)  # type: ignore[no-any-return]
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1"
        raise ConfigError(f"{file}:{place}: {_syntax_sentence(error.problem or 'is no YAML')}") from None
    except YAMLError as error:
        before = text[: getattr(error, "position", 0)]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ConfigError(f"{file}:{line}:{column}: a control character is here; delete it") from None
    except RecursionError:
        raise ConfigError(f"{file}:1: is nested too deeply; write the values out") from None


def _syntax_sentence(problem: str) -> str:
    """The library's complaint, without words of the file, which may be a secret."""
    if "'\\t'" in problem:
        return "a tab stands where YAML wants blanks; indent with blanks"
    if "mapping values" in problem:
        return "a second ': ' stands on the line; put the value in quotes"
    if "document" in problem:
        return "a second document or a directive is here; keep one document"
    return f"the YAML does not go on like this ({_QUOTED_WORD.sub('', problem)}); look at quotes, brackets and indents"


def _plain_value(text: str) -> Value:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    return text


def dotted(loc: Loc) -> str:
    """A path as it is shown: `task.labels[2].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")

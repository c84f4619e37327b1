"""Parse YAML into a tree that keeps line numbers and quoting.

Types are resolved here, by YAML 1.2's core schema, rather than by the YAML library: a label must be distinguished
from what other YAML tools read as a boolean, a number or a date.
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

# Bounds for aliases, which can repeat a node without end; no real config comes near them.
_MAX_VALUES = 100_000
_MAX_DEPTH = 20

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]{0,30}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# Plain scalars that YAML 1.1 tools (PyYAML, Go, Ruby) do not read as text, https://yaml.org/type/.
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
    """A scalar as written in the file.

    Attributes:
        source: The text without its quotes.
        plain: Whether it is written without quotes, so that YAML guesses its type.
    """

    source: str
    plain: bool

    @property
    def value(self) -> Value:
        """Its value in YAML 1.2."""
        return _plain_value(self.source) if self.plain else self.source

    @property
    def is_guessed(self) -> bool:
        """Whether some YAML tool reads it as something other than text."""
        return self.plain and _GUESSED.fullmatch(self.source) is not None


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the document and its position.

    Attributes:
        content: The value.
        file: The file as the user named it, or the option that the value comes from.
        line: Line, from 1, of its key or, in a list, of the value; 0 for an option.
    """

    content: "dict[str, Node] | list[Node] | Scalar"
    file: str
    line: int

    def at(self, loc: Loc) -> "tuple[Node, bool]":
        """Return the node at a path of keys and indexes, or its nearest ancestor; and whether the node exists."""
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
    """Something wrong at a location of the document.

    Attributes:
        loc: Path of keys and indexes.
        sentence: `<what>; <fix>`, a continuation of the key or, if it is shown, of the value.
        shown: Whether the value may be shown before the sentence.
    """

    loc: Loc
    sentence: str
    shown: bool = False


def parse_document(text: str, file: str) -> tuple[Node, list[Problem]]:
    """Parse a whole config; return its tree and what is wrong with its structure.

    Raises:
        ConfigError: If it is not YAML, is empty, or its top level is not a mapping.
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


def parse_part(text: str, file: str, loc: Loc) -> tuple[Node, list[Problem]]:
    """Parse a file that holds only the value at *loc* of a config; return its tree and what is wrong with its structure.

    Raises:
        ConfigError: If it is not YAML, or is empty.
    """
    root = _compose(text, file)
    if root is None:
        raise ConfigError(f"{file}:1: is empty; write what belongs to {dotted(loc)}")
    reader = _Reader(file, numbered=True)
    return reader.read(root, 1, loc), reader.problems


def parse_value(text: str, option: str) -> tuple[Node, list[Problem]]:
    """Parse the value of an option: a quoted scalar, a flow list, a flow mapping, or else a plain scalar.

    Raises:
        ConfigError: If it begins like a quoted or flow value but is not YAML.
    """
    if not text.lstrip().startswith(("[", "{", '"', "'")):
        return Node(Scalar(text.strip(), plain=True), option, 0), []
    root = _compose(text, option) or ScalarNode("tag:yaml.org,2002:null", "")
    reader = _Reader(option, numbered=False)
    return reader.read(root, 0, ()), reader.problems


class _Reader:
    """Converts the YAML library's nodes and collects what is wrong with them."""

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
        # The library resolves a plain scalar such as 12 to text only if it carries an explicit !!str.
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
    """Parse text into the YAML library's nodes; None if it holds nothing but comments."""
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
    """Word the library's error without quoting the file, which may hold a secret."""
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
    """Format a path as `task.labels[2].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")

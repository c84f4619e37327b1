"""Read the files that a config is in: its text, and the labels of a task in a file of their own: `labels: {file: labels.csv}`.

These are as if they stood in the config. Each label keeps its file and line, so that everything that is said about labels names the place where it is written.
"""

import csv
import difflib
import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.config.document import Loc, Node, Problem, Scalar, parse_part
from pipeline.config.problems import escaped
from pipeline.errors import ConfigError, NoInputError

# A config with 1000 long labels takes a few hundred kilobytes; a larger file is data given by mistake.
_LARGEST_BYTES = 4 << 20

_LABELS: Loc = ("task", "labels")
_FILE: Loc = (*_LABELS, "file")
_NAME, _DESCRIPTION, _WAS = "name", "description", "was"
_DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}
_YAML = (".yaml", ".yml", ".json")


def read_text(path: str | Path) -> str:
    """Return the text of the file at *path*.

    Raises:
        NoInputError: If it does not exist, is a directory or cannot be read.
        ConfigError: If it is no text, or too large.
    """
    name = escaped(str(path))
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - for a NUL in a str path, open raises ValueError
            content = file.read(_LARGEST_BYTES + 1)
    except IsADirectoryError:
        raise NoInputError(f"{name}: is a directory; name the YAML file in it") from None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise NoInputError(f"{name}: is not there; check the path of the config file") from None
    except OSError as error:
        raise NoInputError(f"{name}: cannot be read ({error.strerror}); check its permissions") from None
    if len(content) > _LARGEST_BYTES:
        raise ConfigError(f"{name}:1: is larger than {_LARGEST_BYTES} bytes; name a config file, not data")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def labels_of(root: Node, folder: Path) -> tuple[Node | None, list[Problem]]:
    """Return the labels that a config takes from a file, None if it takes none; and what is wrong with them.

    Args:
        root: The config's tree.
        folder: The config's folder, to which the file's path is relative.

    Raises:
        ConfigError: If the file is no table and no YAML, or cannot be read as text.
    """
    labels, there = root.at(_LABELS)
    if not there or not isinstance(labels.content, dict):
        return None, []
    file, there = root.at(_FILE)
    if not there or len(labels.content) > 1 or not isinstance(file.content, Scalar):
        return None, [Problem(_LABELS, "is a mapping; write a list of labels, or file: and a file's name")]
    name = file.content.source
    kind = Path(name).suffix.lower()
    if kind not in {*_DELIMITERS, *_YAML}:
        sentence = "is no file of labels; let it end in .csv, .tsv, .yaml or .json"
        return None, [Problem(_FILE, sentence, shown=True)]
    if not (folder / name).is_file():
        return None, [Problem(_FILE, "is not there; its path is relative to the config's folder", shown=True)]
    text, shown = read_text(folder / name), str(Path(labels.file).parent / name)
    if kind in _DELIMITERS:
        return Node(list(_rows(text, shown, _DELIMITERS[kind])), shown, 1), []
    found, problems = parse_part(text, shown, _LABELS)
    return replace(found, content=_listed(found)), problems


def _listed(found: Node) -> list[Node]:
    """Return the labels in a YAML file: a list as in a config, or a mapping of names to descriptions."""
    if isinstance(found.content, list):
        return found.content
    if not isinstance(found.content, dict):
        raise ConfigError(
            f"{found.file}:{found.line}: is no list of labels; begin each with - as in the config"
        )
    return [_label({_NAME: name, _DESCRIPTION: _text(each)}, each) for name, each in found.content.items()]


def _text(node: Node) -> str:
    if not isinstance(node.content, Scalar):
        raise ConfigError(
            f"{node.file}:{node.line}: is no description; write name: description, or a list of labels"
        )
    return "" if node.content.value is None else node.content.source


def _label(texts: Mapping[str, str], place: Node) -> Node:
    """Return a label that is written at *place*; nothing in it is taken for a number or a date."""
    return replace(
        place, content={key: replace(place, content=Scalar(text, plain=False)) for key, text in texts.items()}
    )


def _with_past(label: Node, was: str, place: Node) -> Node:
    """Return *label* with the names that it had before, which stand between `|`."""
    names = [
        replace(place, content=Scalar(name.strip(), plain=False)) for name in was.split("|") if name.strip()
    ]
    if not names or not isinstance(label.content, dict):
        return label
    return replace(label, content={**label.content, _WAS: replace(place, content=names)})


def _rows(text: str, file: str, delimiters: str) -> Iterator[Node]:
    """Yield the labels in a table with the columns name, description and was; other columns say nothing."""
    first = text.partition("\n")[0]
    delimiter = max(delimiters, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None:
                header = _header(cells, file)
            elif len(cells) not in {0, len(header)}:
                raise ConfigError(
                    f"{file}:{line}: has {len(cells)} cells and the header {len(header)}; "
                    f"put a text that holds {delimiter!r} in double quotes"
                )
            elif any(cells):
                texts = dict(zip(header, cells, strict=True))
                wanted = {key: texts[key] for key in (_NAME, _DESCRIPTION) if key in texts}
                place = Node([], file, line)
                yield _with_past(_label(wanted, place), texts.get(_WAS, ""), place)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(f"{file}:{line}: is no CSV ({error}); look at its quotes") from None
    if header is None:
        raise ConfigError(f"{file}:1: is empty; write a header: name,description, and a label a line")


def _header(cells: list[str], file: str) -> list[str]:
    names = [cell.strip().casefold() for cell in cells]
    near = difflib.get_close_matches(_DESCRIPTION, names, n=1)
    if _DESCRIPTION not in names and near:
        raise ConfigError(f"{file}:1: has a column {near[0]!r}; did you mean {_DESCRIPTION}?")
    for name in (_NAME, _DESCRIPTION, _WAS):
        if names.count(name) > 1:
            raise ConfigError(f"{file}:1: has {names.count(name)} columns {name!r}; rename all but one")
    if _NAME not in names:
        raise ConfigError(f"{file}:1: has no column {_NAME!r}; write a header: {_NAME},{_DESCRIPTION}")
    return names

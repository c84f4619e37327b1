"""Which columns name a row, are read by the model, or hold labels: judged by what is in them, names break ties."""

import re
from collections.abc import Iterable, Sequence

from pipeline.commands.init.columns import Column

MOST_TEXTS = 3
MOST_GOLD_LABELS = 60
"""A column of more different values is not taken for labels unless it is named."""

_ID_LENGTH = 64
_FEWEST_WORDS = 3
_LEAST_VARIETY = 0.3
_TITLE_WORDS = 2
_GOLD_WORDS, _GOLD_LENGTH = 4, 60
_ROWS_A_LABEL = 3
_LEAST_REPEATED = 0.8

_ID_NAMES = re.compile(r"(?:.*[_\W])?(?:id|key|uuid|guid|number|no)|.*(?:Id|ID)", re.DOTALL)
_TITLE_NAMES = re.compile(r"(?:.*[_\W])?(?:title|subject|headline|heading|summary)", re.IGNORECASE)
_GOLD_NAMES = re.compile(
    r"label|class|categor|section|topic|intent|sentiment|queue|target|gold|tag|theme", re.IGNORECASE
)


def id_column(columns: Sequence[Column]) -> str | None:
    """Return the column that names a row: different in each, short, and without blanks."""
    fitting = [each for each in columns if each.kind in {"text", "number"} and _is_id(each)]
    return (
        next(iter(sorted(fitting, key=lambda each: _ID_NAMES.fullmatch(each.name) is None)), _NONE).name
        or None
    )


def text_columns(columns: Sequence[Column], taken: Iterable[str] = ()) -> list[str]:
    """Return the columns that the model should read: of several words, and nearly different in each row; titles may repeat.

    Where there is none, the one of the most words that is no number.
    """
    names = set(taken)
    texts = [
        each for each in columns if each.kind == "text" and each.name not in names and can_be_read(each.name)
    ]
    prose = [
        each
        for each in texts
        if each.words >= _FEWEST_WORDS and each.variety >= _LEAST_VARIETY and not each.is_enumeration
    ]
    titles = [each for each in texts if each not in prose and _is_title(each)]
    if prose:
        longest = sorted(prose, key=lambda each: -each.words)[: MOST_TEXTS - len(titles[:1])]
        return [each.name for each in texts if each in longest or each in titles[:1]]
    return [max(texts, key=lambda each: (each.words * each.variety, each.longest)).name] if texts else []


def gold_columns(columns: Sequence[Column], taken: Iterable[str] = ()) -> list[str]:
    """Return the columns that may hold the right labels, the likeliest first: few short texts, each in many rows."""
    names = set(taken)
    fitting = [each for each in columns if each.name not in names and _is_gold(each)]
    ranked = sorted(
        fitting,
        key=lambda each: (each.kind == "list", _GOLD_NAMES.search(each.name) is None, -len(each.counts)),
    )
    return [each.name for each in ranked]


def can_be_read(name: str) -> bool:
    """Return whether a column can stand in a template, which knows names without braces only."""
    return "{" not in name and "}" not in name


def _is_title(column: Column) -> bool:
    """Return whether texts that are short, or repeat, say what a row is about: there are more of them than labels, or they are called so."""
    if column.is_enumeration:
        return False
    is_varied = column.words >= _FEWEST_WORDS and len(column.counts) > MOST_GOLD_LABELS
    return is_varied or (column.words >= _TITLE_WORDS and _TITLE_NAMES.fullmatch(column.name) is not None)


_NONE = Column("", "other", ())


def _is_id(column: Column) -> bool:
    return (
        column.is_unique
        and column.longest <= _ID_LENGTH
        and not any(cell.split() != [cell] for cell in column.filled)
        and (column.kind == "text" or all(re.fullmatch(r"-?[0-9]+", cell) for cell in column.filled))
    )


def _is_gold(column: Column) -> bool:
    counts = column.counts
    if column.kind not in {"text", "list"} or not 1 < len(counts) <= MOST_GOLD_LABELS:
        return False
    repeated = sum(count > 1 for count in counts.values()) >= _LEAST_REPEATED * len(counts)
    short = column.words <= _GOLD_WORDS and column.longest <= _GOLD_LENGTH
    return repeated and short and len(column.filled) >= _ROWS_A_LABEL * len(counts)

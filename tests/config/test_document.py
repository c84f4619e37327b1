"""YAML with its lines, and which of its texts other tools would guess at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.config.document import Node, Scalar, dotted, parse_document


def value(text):
    root, problems = parse_document(f"a: {text}\n", "f")
    assert not problems
    return root.at(("a",))[0].content.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("012", 12),
        ("200_000", 200_000),
        ("-1.5e3", -1500.0),
        (".5", 0.5),
        (".inf", float("inf")),
        ("0x10", "0x10"),
        ("2026-01-01", "2026-01-01"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("9" * 5_000, float("inf")),
        ("|\n  no\n", "no\n"),
    ],
)
def test_a_scalar_is_what_yaml_1_2_makes_of_it(text, expected):
    assert value(text) == expected


@given(st.from_regex(r"[-+]?[0-9]{1,9}|[-+]?[0-9]{1,4}\.[0-9]{0,4}(e[0-9])?|[a-z]{1,6}", fullmatch=True))
def test_plain_scalars_are_read_as_the_library_reads_them(text):
    assert value(text) == YAML(typ="safe", pure=True).load(f"a: {text}\n")["a"]


def test_a_node_knows_its_line():
    root, _ = parse_document("# first\na:\n  b: 1\n  c:\n    - x\n    -\n      d: 2\n", "f")
    lines = {loc: root.at(loc)[0].line for loc in [(), ("a",), ("a", "b"), ("a", "c", 0), ("a", "c", 1, "d")]}
    assert lines == {(): 1, ("a",): 2, ("a", "b"): 3, ("a", "c", 0): 5, ("a", "c", 1, "d"): 7}


@pytest.mark.parametrize("loc", [("x",), ("a", "x"), ("a", 0), ("a", "c", 9), ("a", "c", "x")])
def test_a_missing_location_gives_its_nearest_ancestor(loc):
    root = Node({"a": Node({"c": Node([Node(Scalar("x", plain=True), "f", 3)], "f", 2)}, "f", 1)}, "f", 1)
    node, there = root.at(loc)
    assert not there
    assert node == root.at(loc[:-1])[0]


def test_a_location_is_shown_with_dots_and_brackets():
    assert dotted(("task", "labels", 2, "name")) == "task.labels[2].name"


def test_aliases_without_end_are_refused():
    levels = "".join(f"l{depth + 1}: &l{depth + 1} [{', '.join([f'*l{depth}'] * 9)}]\n" for depth in range(9))
    with pytest.raises(Exception, match="refers to itself; write the values out"):
        parse_document(f"l0: &l0 x\n{levels}", "f")


# Texts that are no config at all: (text, the one line).
UNREADABLE = {
    "empty": ("# nothing\n", "job.yaml:1: is empty; it needs the keys input, task and output"),
    "a list": ("- a\n", "job.yaml:1: is no mapping; start with input:, task: and output:"),
    "a word": ("\nhello\n", "job.yaml:2: is no mapping; start with input:, task: and output:"),
    "a tab": (
        "input:\n\tpath: x\n",
        "job.yaml:2:1: a tab stands where YAML wants blanks; indent with blanks",
    ),
    "two colons": ("a: b: c\n", "job.yaml:1:5: a second ': ' stands on the line; put the value in quotes"),
    "two documents": (
        "a: 1\n---\nb: 1\n",
        "job.yaml:2:1: a second document or a directive is here; keep one document",
    ),
    "an open bracket": (
        "a: [1\n",
        (
            "job.yaml:2:1: the YAML does not go on like this (expected ',' or ']', but got '<stream end>'); "
            "look at quotes, brackets and indents"
        ),
    ),
    "a control character": ("a: b\nc: \x01\n", "job.yaml:2:4: a control character is here; delete it"),
    "an alias to itself": (
        "a: &a [*a]\n",
        "job.yaml:1: is nested too deeply or refers to itself; write the values out",
    ),
    "a tower": ("[" * 5_000, "job.yaml:1: is nested too deeply; write the values out"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_text_that_is_not_a_config_is_refused_with_its_position(job, name):
    text, line = UNREADABLE[name]
    assert job.problems(text) == [line]

"""A config, or settings of one, as Python values: what is said about them is what is said about a file."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline
from pipeline.config import load_config
from pipeline.config.document import Node, Scalar
from pipeline.config.given import node_of
from pipeline.errors import ConfigError, UsageError

SETTINGS: dict[str, Any] = {
    "input": {"path": "in.parquet"},
    "task": {"instructions": "Choose.", "text": "{text}", "labels": ["yes", "no"]},
    "model": {"provider": "local"},
    "output": {"path": Path("out") / "labelled.parquet"},
}


def changed(**sections: Any) -> dict[str, Any]:
    return {**SETTINGS, **sections}


def plain(node: Node) -> Any:
    """The Python value of a tree."""
    if isinstance(node.content, Scalar):
        return node.content.value
    if isinstance(node.content, dict):
        return {key: plain(child) for key, child in node.content.items()}
    return [plain(child) for child in node.content]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=9,
)


@given(VALUES)
def test_values_stay_what_they_are_whatever_yaml_would_make_of_them(value: Any) -> None:
    node, problems = node_of(value, "config")
    assert (plain(node), problems) == (value, [])


def test_a_dict_is_a_config_with_paths_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(SETTINGS)
    assert (config.input.path, config.output.path) == (
        f"{tmp_path}/in.parquet", tmp_path / "out" / "labelled.parquet",
    )  # fmt: skip
    assert config.state.dir == tmp_path / ".pipeline" / "config"
    assert [label.name for label in config.task.labels] == ["yes", "no"]


def test_numbers_of_numpy_are_numbers() -> None:
    limits = {"max_concurrency": np.int64(3), "max_cost_usd": np.float64(0.5)}
    config = load_config(changed(limits=limits))
    assert (config.limits.max_concurrency, config.limits.max_cost_usd) == (3, 0.5)


def test_labels_of_a_dict_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("name\none\ntwo\n")
    config = load_config(changed(task={**SETTINGS["task"], "labels": {"file": "labels.csv"}}))
    assert [label.name for label in config.task.labels] == ["one", "two"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "config: input: is missing"),
        (changed(limits={"max_concurency": 8}), "config: limits.max_concurency: is an unknown key; did you mean max_concurrency?"),
        (changed(limits={"max_concurrency": -1}), "config: limits.max_concurrency: -1 is not a whole number above 0"),
        (changed(limits={"max_concurrency": object()}), "config: limits.max_concurrency: is of type object; write a text"),
        (changed(limits={3: 4}), "config: limits: has a key 3 that is no text"),
        (changed(limits=[1]), "config: limits: is a list; write a mapping"),
        (changed(model={"name": "sk-12345678901234567890"}), "config: model.name: looks like an API key"),
        (changed(output={"path": b"out.parquet"}), "config: output.path: is of type bytes; write a text"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_dict_is_a_config_error_that_names_the_key(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(settings)
    assert any(problem.startswith(said) for problem in caught.value.problems), caught.value.problems


def test_a_dict_that_holds_itself_is_refused() -> None:
    settings = changed()
    settings["limits"] = settings
    with pytest.raises(ConfigError, match="refers to itself"):
        load_config(settings)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"limits.max_concurency": 8}, "overrides: limits.max_concurency: is an unknown key; did you mean"),
        (
            {"limits.max_concurrency": {1, 2}},
            "overrides: limits.max_concurrency: is of type set; write a text",
        ),
        (
            {"limits.max_concurrency": "many"},
            'overrides: limits.max_concurrency: "many" is not a whole number',
        ),
        ({"limits..max_concurrency": 8}, "overrides: 'limits..max_concurrency' is no section.key"),
        ({7: 8}, "overrides: 7 is no section.key"),
        ({"": 8}, "overrides: '' is no section.key"),
        ({"task.text.first": 8}, "overrides: task.text.first: there is no mapping to put it in"),
        (8, "overrides: are no settings"),
        ([8], "overrides: are no settings"),
        ([("limits.max_concurrency", 8)], "overrides: are no settings"),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_mistyped_overrides_are_a_usage_error_that_names_them(
    overrides: Any, said: str, *, later: bool
) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(SETTINGS).with_(overrides) if later else load_config(SETTINGS, overrides=overrides)
    assert str(caught.value).startswith(said)


def test_a_config_with_other_settings_is_checked_and_leaves_the_first_as_it_is() -> None:
    first = load_config(SETTINGS)
    second = first.with_({"limits.max_concurrency": 8, "task.labels": ["a", "b", "c"]})
    assert (first.limits.max_concurrency, second.limits.max_concurrency) == (64, 8)
    assert (len(first.task.labels), len(second.task.labels)) == (2, 3)
    third = second.with_({"limits.max_cost_usd": 1})
    assert (third.limits.max_concurrency, third.limits.max_cost_usd) == (8, 1)
    assert first.with_() == first


def test_a_rehearsal_of_a_config_has_its_own_output_however_often_it_is_changed() -> None:
    config = load_config(SETTINGS).with_(provider="simulate").with_({"limits.max_concurrency": 2})
    assert config.output.path.name == "labelled.simulated.parquet"
    assert config.with_(provider="local").output.path.name == "labelled.parquet"


def test_a_config_of_a_file_can_have_other_settings_after_the_file_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "input: {path: in.parquet}\ntask: {instructions: x, text: '{text}', labels: [a, b]}\n"
        "model: {provider: local}\noutput: {path: out.parquet}\n"
    )
    config = load_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").unlink()
    assert config.with_({"limits.max_concurrency": 8}).output.path == tmp_path / "out.parquet"


def test_how_a_config_came_about_is_no_part_of_what_it_says() -> None:
    first, second = load_config(SETTINGS, overrides={"limits.max_concurrency": 3}), load_config(
        changed(limits={"max_concurrency": 3})
    )  # fmt: skip
    assert first == second
    assert pickle.loads(pickle.dumps(first)).with_().limits.max_concurrency == 3
    assert copy.deepcopy(first) == first


def test_a_copy_with_changes_that_were_not_checked_is_no_start_for_others() -> None:
    copied = load_config(SETTINGS).model_copy(update={"limits": None})
    with pytest.raises(UsageError, match="with_: this config is a copy with changes"):
        copied.with_()


@pytest.mark.parametrize("nothing", [None, 7, b"job.yaml", ["job.yaml"]])
def test_what_is_neither_a_path_nor_a_dict_is_refused(nothing: Any) -> None:
    with pytest.raises(UsageError, match="takes the path of a YAML file or a dict"):
        pipeline.load_config(nothing)

"""The section `escalate`: who the second model is, and what it may use up."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, load_config
from pipeline.config.schema import json_schema
from pipeline.errors import ConfigError

FIRST = {
    "provider": "openai-compatible", "name": "small", "base_url": "https://one.example/v1", "api_key_env": "ONE_KEY",
    "price": {"input": 1, "output": 4}, "temperature": 1, "proxy": "none",
}  # fmt: skip


def loaded(escalate: object, *, provider: str | None = None, model: Any = FIRST, **sections: Any) -> Config:
    return load_config(
        {
            "input": {"path": "in.parquet"},
            "task": {"instructions": "Choose.", "text": "{text}", "labels": ["a", "b"]},
            "model": model,
            "output": {"path": "out.parquet"},
            "escalate": escalate,
            **sections,
        },
        provider=provider,
    )


def second(escalate: object, **sections: Any) -> Config:
    found = loaded(escalate, **sections).second
    assert found is not None
    return found


def problem(escalate: object, **sections: Any) -> str:
    with pytest.raises(ConfigError) as error:
        loaded(escalate, **sections)
    return str(error.value)


def test_a_name_is_asked_at_the_first_models_endpoint_with_its_key() -> None:
    model = second({"model": "big", "below": 0.7}).model
    assert (model.name, model.provider, model.base_url, model.api_key_env) == (
        "big", "openai-compatible", "https://one.example/v1", "ONE_KEY",
    )  # fmt: skip
    assert (model.price, model.temperature, model.rows_per_request) == (None, 0, 1)


def test_another_endpoint_takes_nothing_over_but_the_way_there() -> None:
    model = second({"model": {"name": "big", "provider": "openai"}, "below": 0.7}).model
    assert (model.provider, model.base_url, model.api_key_env, model.proxy) == ("openai", None, None, "none")


def test_another_key_at_the_same_endpoint_is_its_own(tmp_path: Path) -> None:
    model = second({"model": {"name": "big", "api_key_file": str(tmp_path / "key")}, "below": 0.7}).model
    assert (model.base_url, model.api_key_env) == ("https://one.example/v1", None)
    assert model.api_key_file == tmp_path / "key"


def test_limits_that_are_left_out_are_those_of_the_run_with_a_quota_of_their_own() -> None:
    limits = {"requests_per_minute": 500, "max_concurrency": 8, "max_cost_usd": 5, "shared": "account"}
    own = {"requests_per_minute": 60, "max_cost_usd": 2}
    found = second({"model": "big", "below": 0.7, "limits": own}, limits=limits).limits
    assert (found.requests_per_minute, found.max_concurrency, found.max_cost_usd) == (60, 8, 2)
    assert found.shared is not None
    assert found.shared.startswith("account-escalate-")


@pytest.mark.parametrize(
    ("escalate", "said"),
    [
        ({"below": 0.7}, "escalate.model: is missing"),
        ({"model": "big"}, "escalate.below: is missing"),
        ({"model": "big", "below": 7}, "escalate.below: 7 is not a share"),
        ({"model": "big", "below": 0, "on": []}, "escalate.below: 0 is 0 and on is empty"),
        ({"model": "big", "below": 0.7, "on": ["ok"]}, 'escalate.on[0]: "ok" is not known'),
        ({"model": {"provider": "openai"}, "below": 0.7}, "escalate.model.name: is missing"),
        ({"model": {"name": "big", "lane": "batch"}, "below": 0.7}, "escalate.model.lane: "),
        (
            {"model": {"name": "big", "rows_per_request": 5}, "below": 0.7},
            "escalate.model.rows_per_request: ",
        ),
        (
            {"model": "big", "below": 0.7, "limit": {}},
            "escalate.limit: is an unknown key; did you mean limits?",
        ),
        (
            {"model": {"name": "big", "api_key": "sk-0123456789abcdef0123"}, "below": 0.7},
            "looks like an API key",
        ),
    ],
)
def test_what_is_wrong_is_said_where_it_is(escalate: object, said: str) -> None:
    found = problem(escalate)
    assert said in found
    assert "0123456789" not in found


def test_a_header_with_a_secret_in_it_is_refused() -> None:
    found = problem({"model": {"name": "big", "headers": {"X-Api-Key": "header-0123456789"}}, "below": 0.7})
    assert "escalate.model.headers.X-Api-Key: holds a secret" in found
    assert "0123456789" not in found


def test_endpoints_of_the_first_model_are_not_the_seconds() -> None:
    model = {"provider": "openai", "name": "small", "endpoints": [{}, {"api_key_env": "OTHER_KEY"}]}
    assert "escalate.model: " in problem({"model": "big", "below": 0.7}, model=model)
    assert (
        second({"model": {"name": "big", "provider": "openai"}, "below": 0.7}, model=model).model.endpoints
        == ()
    )


def test_a_rehearsal_asks_nobody_else_and_the_embedded_model_is_asked_alone() -> None:
    elsewhere = {"model": {"name": "big", "base_url": "https://two.example/v1"}, "below": 0.7}
    model = second(elsewhere, provider="simulate").model
    assert (model.provider, model.base_url, model.name) == ("simulate", None, "big")
    assert loaded(elsewhere, provider="local").second is None


def test_the_gate_for_unsure_rows_can_close_where_there_is_a_second_model() -> None:
    assert loaded({"model": "big", "below": 0.7}, gates={"unsure": "5%"}).gates.unsure is not None


def test_the_schema_takes_a_name_or_a_section() -> None:
    text, section = json_schema()["$defs"]["SecondModelSettings"]["anyOf"]
    assert text["type"] == "string"
    assert {"name", "base_url", "price"} <= section["properties"].keys()

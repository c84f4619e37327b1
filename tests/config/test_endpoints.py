"""Several endpoints: each is seen as a config of its own, with nothing of another's."""

from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.config.providers import endpoint_names
from pipeline.config.slices import Slice
from pipeline.llm.transport.credentials import request_headers
from pipeline.tasks.prompt import Task

JOB = {
    "input": {"path": "in.parquet"},
    "task": {"instructions": "Choose.", "text": "{text}", "labels": ["a", "b"]},
    "limits": {"requests_per_minute": 500, "max_concurrency": 8, "max_cost_usd": 5},
    "output": {"path": "out.parquet"},
    "state": {"dir": "state"},
}


def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries, **model):
    monkeypatch.chdir(tmp_path)
    return load_config(
        {**JOB, "model": {"provider": "openai", "name": "nano", **model, "endpoints": entries}}
    )


def test_the_providers_key_goes_to_the_providers_own_place_only(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "of-openai")
    monkeypatch.setenv("OTHER_KEY", "of-another")
    entries = [{}, {"base_url": "https://h/v1"}, {"base_url": "https://i/v1", "api_key_env": "OTHER_KEY"}]
    config = several(tmp_path, monkeypatch, entries)
    sent = [request_headers(each.model).get("Authorization") for each in config.each_endpoint()]
    assert sent == ["Bearer of-openai", None, "Bearer of-another"]


def test_limits_that_an_entry_leaves_out_are_those_of_the_section(tmp_path, monkeypatch):
    entries = [
        {},
        {"base_url": "https://h/v1", "limits": {"requests_per_minute": None, "tokens_per_minute": 100}},
    ]
    one, other = (each.limits for each in several(tmp_path, monkeypatch, entries).each_endpoint())
    assert (one.requests_per_minute, one.tokens_per_minute, one.max_concurrency) == (500, None, 8)
    assert (other.requests_per_minute, other.tokens_per_minute, other.max_concurrency) == (None, 100, 8)
    assert other.max_cost_usd == 5


def test_a_shared_quota_is_one_for_each_endpoint(tmp_path, monkeypatch):
    monkeypatch.setitem(JOB["limits"], "shared", "acme")
    names = {
        each.limits.shared
        for each in several(tmp_path, monkeypatch, [{}, {"base_url": "https://h/v1"}]).each_endpoint()
    }
    assert len(names) == 2
    assert all("acme" in name for name in names)


def test_a_slice_has_its_share_of_what_each_endpoint_takes(tmp_path, monkeypatch):
    entries = [{}, {"base_url": "https://h/v1", "limits": {"requests_per_minute": 90, "max_concurrency": 6}}]
    config = several(tmp_path, monkeypatch, entries)
    cut = config.model_copy(update={"limits": config.limits.divided(Slice(1, 3))})
    one, other = (each.limits for each in cut.each_endpoint())
    assert (one.requests_per_minute, one.max_concurrency) == (pytest.approx(500 / 3), 3)
    assert (other.requests_per_minute, other.max_concurrency) == (30, 2)


def quotas(config):
    return [each.limits.shared for each in config.each_endpoint()]


def test_accounts_at_one_place_have_a_quota_each(tmp_path, monkeypatch):
    monkeypatch.setitem(JOB["limits"], "shared", "acme")
    place = {"base_url": "https://h/v1"}
    accounts = [
        {},
        {"api_key_env": "A"},
        {"api_key_file": "a"},
        {"headers": {"X-Org": "a"}},
        {"wire_name": "a"},
    ]
    names = quotas(several(tmp_path, monkeypatch, [{**place, **account} for account in accounts]))
    assert len(set(names)) == len(accounts)


def test_an_account_has_one_quota_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(JOB["limits"], "shared", "acme")
    one = {"base_url": "https://h/v1", "headers": {"X-Org": "a", "X-Team": "b"}}
    other = {"base_url": "https://h/v1/", "headers": {"x-team": "b", "x-org": "a"}, "weight": 2}
    assert quotas(several(tmp_path, monkeypatch, [one])) == quotas(several(tmp_path, monkeypatch, [other]))


@pytest.mark.parametrize("shared", ["acme", "/run/acme", "redis://host:6379/0", "redis://host:6379/0#acme"])
def test_the_quota_of_an_endpoint_is_where_the_shared_one_is(shared, tmp_path, monkeypatch):
    monkeypatch.setitem(JOB["limits"], "shared", shared)
    config = several(tmp_path, monkeypatch, [{}, {"base_url": "https://h/v1"}])
    for each in config.each_endpoint():
        added = (each.limits.shared or "").removeprefix(shared)
        assert added.startswith("#" if shared.endswith("/0") else "-")
        assert "/" not in added


def test_where_and_under_which_name_a_model_is_asked_is_in_no_key(tmp_path, monkeypatch):
    entries = [{"wire_name": "one"}, {"base_url": "https://h/v1", "wire_name": "two"}]
    config = several(tmp_path, monkeypatch, entries)
    assert [each.model.name for each in config.each_endpoint()] == ["one", "two"]
    alone = load_config({**JOB, "model": {"provider": "openai", "name": "nano"}})
    assert Task.from_config(config).fingerprint == Task.from_config(alone).fingerprint


def test_endpoints_at_one_place_have_different_names(tmp_path, monkeypatch):
    entries = [
        {"base_url": "https://h/v1", "api_key_env": "A"},
        {"base_url": "https://h/v1", "api_key_env": "B"},
        {"base_url": "https://i/v1"},
    ]
    names = endpoint_names(several(tmp_path, monkeypatch, entries).each_endpoint())
    assert names == ["h A", "h B", "i"]


def test_another_provider_leaves_the_endpoints_behind(tmp_path, monkeypatch):
    config = several(tmp_path, monkeypatch, [{"base_url": "https://h/v1"}])
    assert config.with_(provider="local").model.endpoints == ()

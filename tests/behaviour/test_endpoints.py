"""A job that names several endpoints: whose key goes where, and what is told of each."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.servers.simulator.settings import RateSettings
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, command, right_label, texts

KEYS = {"A_KEY": "a-secret", "B_KEY": "b-secret", "C_KEY": "c-secret"}


@pytest.fixture
def servers() -> Iterator[list[FaultServer]]:
    """Three endpoints, each with a key and a rate of its own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                FaultServer(
                    FaultServerSettings(api_key=key, rates=RateSettings(requests_per_minute=rate)),
                    label_for=right_label,
                )
            )
            for key, rate in zip(KEYS.values(), (600, 1200, 4200), strict=True)
        ]


@pytest.fixture
def job(tmp_path: Path, servers: list[FaultServer]) -> JobFiles:
    job = JobFiles(tmp_path, "")
    entries = [
        {
            "base_url": server.base_url,
            "api_key_env": name,
            "wire_name": f"model-of-{name}",
            "price": {"input": price, "output": price},
            "limits": {"requests_per_minute": rate},
        }
        for server, name, price, rate in zip(servers, KEYS, (1, 2, 3), (600, 1200, 4200), strict=True)
    ]
    job.settings["model"] = {"provider": "openai-compatible", "name": "test-model", "endpoints": entries}
    return job


def do(job: JobFiles, verb: str = "run", **keys: str | None) -> subprocess.CompletedProcess[str]:
    """Run a command with all keys but for those that are given otherwise; None is no key."""
    env = {name: key for name, key in {**KEYS, **keys}.items() if key is not None}
    return command(verb, str(job.config_file()), env=env)


def places(servers: list[FaultServer]) -> list[str]:
    return [server.base_url.removeprefix("http://").removesuffix("/v1") for server in servers]


def keys_asked(servers: list[FaultServer]) -> list[str]:
    return [entry.text for server in servers for entry in server.entries if entry.text]


def test_each_is_asked_with_its_own_key_and_name_and_every_row_once(
    job: JobFiles, servers: list[FaultServer]
) -> None:
    job.table(texts(300))
    assert do(job).returncode == 0
    asked = keys_asked(servers)
    assert len(asked) == len(set(asked)) == 300
    assert all(server.billed > 0 for server in servers)
    out = job.labelled()
    assert out["label"].to_list() == [right_label(text) for text in texts(300)]
    answered = {f"model-of-{name}": server.billed for name, server in zip(KEYS, servers, strict=True)}
    assert dict(out["label_model"].value_counts().iter_rows()) == answered
    price = {f"model-of-{name}": usd for name, usd in zip(KEYS, (1, 2, 3), strict=True)}
    for model, tokens, replies, cost in out.select(
        "label_model", "prompt_tokens", "completion_tokens", "cost_usd"
    ).iter_rows():
        assert cost == pytest.approx((tokens + replies) * price[model] / 1e6)


@pytest.mark.slow
def test_a_wrong_key_closes_that_endpoint_and_the_log_names_it_and_no_key(
    job: JobFiles, servers: list[FaultServer]
) -> None:
    job.table(texts(200))
    ran = do(job, B_KEY="stolen-secret")
    assert ran.returncode == 0
    assert f"{places(servers)[1]}: asked no more in this run" in ran.stderr
    assert "secret" not in ran.stderr
    assert servers[1].billed == 0
    assert servers[0].billed + servers[2].billed == 200


def test_the_answers_are_those_of_a_job_with_one_endpoint(job: JobFiles, servers: list[FaultServer]) -> None:
    job.table(texts(60))
    assert do(job).returncode == 0
    before = sum(server.requests for server in servers)
    first = job.settings["model"].pop("endpoints")[0]
    job.settings["model"].update({name: first[name] for name in ("base_url", "api_key_env", "price")})
    job.settings["output"]["path"] = "out/again.parquet"
    assert do(job).returncode == 0
    assert sum(server.requests for server in servers) == before
    assert pl.read_parquet(job.output)["label"].to_list() == [right_label(text) for text in texts(60)]


def test_check_looks_at_each(job: JobFiles, servers: list[FaultServer]) -> None:
    job.table(texts(5))
    assert do(job, "check").returncode == 0
    ran = do(job, "check", B_KEY=None, C_KEY=None)
    assert ran.returncode == 78
    for place, name in list(zip(places(servers), KEYS, strict=True))[1:]:
        assert f"{place}: the environment variable {name} is not set" in ran.stderr
    assert do(job, B_KEY=None).returncode == 78
    assert sum(server.requests for server in servers) == 0


def test_plan_shows_the_dearest_and_the_time_at_all_limits(job: JobFiles) -> None:
    job.table(texts(1000))
    ran = do(job, "plan")
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["cost_usd"] == pytest.approx((found["prompt_tokens"] + found["completion_tokens"]) * 3 / 1e6)
    assert found["seconds"] == pytest.approx(10.0, abs=0.1)
    assert "the dearest of 3" in ran.stderr
    assert "at the limits of 3 endpoints" in ran.stderr


def test_probe_looks_at_each(job: JobFiles, servers: list[FaultServer]) -> None:
    job.table(texts(5))
    found = json.loads(do(job, "probe").stdout.splitlines()[-1])
    assert {name: each["json_schema"] for name, each in found["endpoints"].items()} == dict.fromkeys(
        places(servers), True
    )
    ran = do(job, "probe", C_KEY="another")
    assert ran.returncode == 77
    assert f"{places(servers)[2]}: " in ran.stderr


@pytest.mark.slow
def test_one_that_dies_amid_a_run_is_done_without(job: JobFiles, servers: list[FaultServer]) -> None:
    job.table(texts(400))
    servers[2].start_outage()
    assert do(job).returncode == 0
    assert servers[0].billed + servers[1].billed == 400
    assert set(job.labelled()["label_status"]) == {"ok"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"base_url": "https://h/v1"}, "belongs to one endpoint"),
        ({"api_key_env": "A_KEY"}, "model.api_key_env: belongs to one endpoint"),
        ({"provider": "local"}, "are not asked by provider local"),
        ({"endpoints": [{"wire_name": "m"}]}, "has no base_url"),
        ({"endpoints": [{"base_url": "http://10.0.0.1/v1"}]}, "unencrypted"),
        (
            {"endpoints": [{"base_url": "https://h/v1"}, {"base_url": "https://h/v1"}]},
            "is the same as one above",
        ),
        ({"endpoints": [{"base_url": "https://h/v1?api_key=abc"}]}, "holds a secret"),
        ({"endpoints": [{"base_url": "https://h/v1", "headers": {"api-key": "abc"}}]}, "holds a secret"),
        ({"endpoints": [{"base_url": "https://h/v1", "weight": 0}]}, "is not a weight"),
        ({"endpoints": [{"base_url": "https://h/v1", "wieght": 1}]}, "did you mean weight?"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(
    job: JobFiles, change: dict[str, Any], problem: str
) -> None:
    job.table(texts(5))
    job.set(model=change)
    ran = do(job, "check")
    assert ran.returncode == 78
    assert problem in ran.stderr
    assert "abc" not in ran.stderr

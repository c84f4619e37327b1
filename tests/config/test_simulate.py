"""The section `simulate`: how a rehearsal's endpoint behaves, and where it may be."""

import pytest

from pipeline.config import json_schema
from pipeline.config.simulate.faults import Fault
from pipeline.config.simulate.latency import Fixed, Lognormal, Uniform


def test_by_default_replies_take_as_long_as_real_ones_and_none_goes_wrong(job):
    assert job.load().simulate.latency == Lognormal(0.5, 0.4)
    assert job.load(simulate="").simulate.faults == {}
    assert job.load(simulate="{latency: }").simulate == job.load().simulate


@pytest.mark.parametrize(
    ("written", "latency"),
    [
        ("0", Fixed(0)), ("0.25", Fixed(0.25)), ("'0.25'", Fixed(0.25)), ("'uniform:0.1,0.2'", Uniform(0.1, 0.2)),
        ("'lognormal:2,0.3'", Lognormal(2, 0.3)), ("'${LATENCY}'", Fixed(7)),
    ],
)  # fmt: skip
def test_a_latency_is_a_number_of_seconds_or_a_distribution(job, written, latency):
    assert job.load(simulate=f"{{latency: {written}}}", env={"LATENCY": "7"}).simulate.latency == latency


def test_options_alone_can_set_all_of_it(job):
    overrides = [
        "simulate.latency=lognormal:0.5,0.4",
        "simulate.faults.http_500=0.1",
        "simulate.faults.drop=1e-3",
    ]
    simulate = job.load(provider="simulate", overrides=overrides).simulate
    assert simulate.latency == Lognormal(0.5, 0.4)
    assert simulate.faults == {"http_500": 0.1, "drop": 0.001}


@pytest.mark.parametrize(
    "written", ["soon", "-1", ".nan", ".inf", "true", "[1]", "'uniform:2,1'", "'lognormal:0'"]
)
def test_an_invalid_latency_is_refused_with_the_valid_forms(job, written):
    (problem,) = job.problems(simulate=f"{{latency: {written}}}")
    assert "is no latency; write seconds: 0.5, uniform:0.2,0.8 or lognormal:0.5,0.4" in problem


def test_unknown_faults_are_all_named_at_once_with_the_most_similar_known_ones(job):
    assert job.problems(simulate="{latence: 1, faults: {http_50: 0.1, xyz: 0.1}}") == [
        "job.yaml:4: simulate.faults.http_50: 0.1 is given to a fault that does not exist; did you mean http_503?",
        "job.yaml:4: simulate.faults.xyz: 0.1 is given to a fault that does not exist; `simulate --list-faults` lists them",
        "job.yaml:4: simulate.latence: is an unknown key; did you mean latency?",
    ]


def test_what_only_the_tests_own_server_does_wrong_is_unknown(job):
    (problem,) = job.problems(simulate="{faults: {gzip_bomb: 0.1}}")
    assert "simulate.faults.gzip_bomb: 0.1 is given to a fault that does not exist" in problem


@pytest.mark.parametrize("share", ["2", "-0.1", "often", ".nan"])
def test_a_share_is_a_number_from_0_to_1(job, share):
    (problem,) = job.problems(simulate=f"{{faults: {{drop: {share}}}}}")
    assert (
        problem
        == f"job.yaml:4: simulate.faults.drop: {share} is not a share; write a number from 0 to 1, such as 0.1"
    )


def test_shares_add_up_to_one_at_most(job):
    assert job.load(simulate="{faults: {drop: 0.4, hang: 0.3, http_500: 0.3}}")
    (problem,) = job.problems(simulate="{faults: {drop: 0.6, hang: 0.6}}")
    assert "simulate.faults: has shares that add up to 1.2" in problem


def test_the_schema_holds_the_fault_names_and_the_default_latency():
    section = json_schema()["$defs"]["SimulateSettings"]["properties"]
    assert section["faults"]["propertyNames"]["enum"] == list(Fault)
    assert section["latency"]["default"] == "lognormal:0.5,0.4"


def test_a_rehearsal_at_a_url_keeps_apart_from_the_real_output_too(job):
    at = ["model.base_url=http://127.0.0.1:8000/v1"]
    config = job.load(provider="simulate", overrides=at, state="{dir: s}")
    assert config.model.base_url == "http://127.0.0.1:8000/v1"
    assert config.output.path == job.folder / "labelled.simulated.parquet"
    assert config.state.dir == job.folder / "s" / "simulated"


def test_a_rehearsal_never_goes_to_another_machine(job):
    model = "{provider: openai-compatible, base_url: 'https://host/v1'}"
    (problem,) = job.problems(model=model, overrides=["model.provider=simulate"])
    assert (
        'model.base_url: "https://host/v1" is not on this machine, and a rehearsal asks nobody else'
        in problem
    )
    assert job.load(model=model, provider="simulate").model.base_url is None

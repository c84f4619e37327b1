"""Settings are checked at once."""

import math
from random import Random
from statistics import median

import pytest

from pipeline.config.simulate.latency import Fixed, Lognormal, Uniform, parse_latency
from pipeline.errors import UsageError
from pipeline.servers.simulator.settings import Refusal, SimulatorSettings


@pytest.mark.parametrize(
    ("text", "latency"),
    [
        ("0", Fixed(0)),
        ("fixed:0.5", Fixed(0.5)),
        ("uniform:0.2,0.8", Uniform(0.2, 0.8)),
        ("lognormal:0.5", Lognormal(0.5)),
        ("lognormal:0.5,0.3", Lognormal(0.5, 0.3)),
    ],
)
def test_a_latency_is_read_from_one_word(text, latency):
    assert parse_latency(text) == latency


@pytest.mark.parametrize(
    "text", ["", "x", "uniform:1", "fixed:1,2", "gauss:1,2", "lognormal:", "lognormal:1,2,3"]
)
def test_a_latency_that_is_none_is_refused_with_the_forms_there_are(text):
    with pytest.raises(
        UsageError, match=r"not understood; write 0\.5, uniform:0\.2,0\.8 or lognormal:0\.5,0\.4"
    ):
        parse_latency(text)


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "inf",
        "nan",
        "uniform:2,1",
        "uniform:-1,1",
        "lognormal:0,1",
        "lognormal:1,-1",
        "1e300",
        "uniform:0,1e9",
        "lognormal:1e308,9",
        "lognormal:1,900",
    ],
)
def test_a_latency_that_cannot_be_is_refused(text):
    with pytest.raises(UsageError, match=r"latency .*: give"):
        parse_latency(text)


def test_all_wrong_faults_are_named_at_once_with_the_nearest_there_is():
    with pytest.raises(UsageError) as caught:
        SimulatorSettings(faults={"http_5000": 0.1, "drop": 2, "hang": math.nan})
    assert [problem.split(";")[0] for problem in caught.value.problems] == [
        "fault http_5000: there is none of that name",
        "fault drop: its share is 2",
        "fault hang: its share is nan",
    ]
    assert "use http_500" in caught.value.problems[0]


def test_what_only_the_tests_own_server_does_wrong_is_no_fault_of_the_simulator():
    with pytest.raises(UsageError, match="fault gzip_bomb: there is none of that name"):
        SimulatorSettings(faults={"gzip_bomb": 0.1})


def test_shares_may_add_up_to_one_and_no_further():
    SimulatorSettings(faults=dict.fromkeys(["http_500", "drop", "hang"], 1 / 3))
    with pytest.raises(UsageError, match=r"add up to 1\.2"):
        SimulatorSettings(faults={"http_500": 0.6, "drop": 0.6})


def test_latencies_follow_their_distribution():
    dice = Random(1)
    uniform = [Uniform(0.2, 0.8).draw(dice) for _ in range(2000)]
    lognormal = [Lognormal(0.5, 0.5).draw(dice) for _ in range(2000)]
    assert 0.2 <= min(uniform) < max(uniform) <= 0.8
    assert median(lognormal) == pytest.approx(0.5, rel=0.05)
    assert sum(value > 1.6 for value in lognormal) == pytest.approx(20, abs=15)


@pytest.mark.parametrize("latency", [Fixed(0.5), Uniform(0.25, 0.75), Lognormal(0.5, 0.4)])
def test_a_latency_is_written_as_it_is_read(latency):
    assert parse_latency(str(latency)) == latency


def test_shares_of_refusals_count_with_those_of_faults():
    refusals = (Refusal(429, 0.3), Refusal(503, 0.3, 1))
    SimulatorSettings(faults={"http_500": 0.4}, refusals=refusals)
    with pytest.raises(UsageError, match=r"add up to 1\.1"):
        SimulatorSettings(faults={"http_500": 0.5}, refusals=refusals)

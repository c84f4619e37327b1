"""The options of `simulate` that hold more than one value are read, or refused with the form they have."""

import pytest

from pipeline.cli.simulate.words import (
    parse_faults,
    parse_in_flight,
    parse_outage,
    parse_prices,
    parse_refusal,
)
from pipeline.errors import UsageError
from pipeline.servers.simulator.settings import InFlightLimit, Outage, Refusal


def test_faults_are_read_from_words():
    assert parse_faults(["http_500=0.1", "drop=1e-3"]) == {"http_500": 0.1, "drop": 0.001}


@pytest.mark.parametrize("text", ["http_500", "http_500=", "http_500=often"])
def test_a_fault_without_a_share_is_refused(text):
    with pytest.raises(UsageError, match="write it as name=share"):
        parse_faults([text])


@pytest.mark.parametrize(
    ("text", "outage"),
    [
        ("60:30", Outage(60, 30, "refuse")),
        ("0:0.5:503", Outage(0, 0.5, "503")),
        ("1:2:hang", Outage(1, 2, "hang")),
    ],
)
def test_an_outage_is_read_from_one_word(text, outage):
    assert parse_outage(text) == outage


@pytest.mark.parametrize("text", ["", "60", "60:", ":30", "a:b", "-1:5", "0:0", "nan:1", "0:inf", "1:2:3:4"])
def test_an_outage_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match=r"outage .*; write "):
        parse_outage(text)


def test_prices_are_read_per_million_and_kept_per_token():
    assert parse_prices("0.10,0.40") == pytest.approx((1e-7, 4e-7))


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "-1,0", "nan,1", "1,inf"])
def test_prices_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match="write IN,OUT in US dollars per million tokens"):
        parse_prices(text)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("429:0.05", Refusal(429, 0.05)),
        ("503:1:1.5", Refusal(503, 1, 1.5)),
        ("429:0.1:0", Refusal(429, 0.1, 0)),
    ],
)
def test_a_refusal_is_read_from_one_word(text, refusal):
    assert parse_refusal(text) == refusal


@pytest.mark.parametrize(
    "text", ["", "429", "500:0.1", "429:2", "429:-1", "429:nan", "429:0.1:-1", "429:0.1:inf", "429:0.1:1:2"]
)
def test_a_refusal_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match=r"refuse .*; write STATUS:SHARE"):
        parse_refusal(text)


@pytest.mark.parametrize(
    ("text", "limit"), [("64", InFlightLimit(64, 429)), ("8:503", InFlightLimit(8, 503))]
)
def test_a_limit_in_flight_is_read_from_one_word(text, limit):
    assert parse_in_flight(text) == limit


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "8:500", "8:503:1", "1.5"])
def test_a_limit_in_flight_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match=r"max-in-flight .*; write N"):
        parse_in_flight(text)

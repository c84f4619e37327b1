"""Where requests go, and where they never go by accident."""

from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.config import ModelSettings


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/v1",
        "http://localhost:8000/v1",
        "http://127.0.0.1:1",
        "http://127.3.2.1",
        "http://[::1]:8000",
        "HTTPS://Example.com",
    ],
)
def test_an_encrypted_or_local_endpoint_is_fine(url):
    assert ModelSettings(base_url=url).base_url == url


def test_an_open_endpoint_must_be_asked_for():
    with pytest.raises(ValidationError, match="unencrypted"):
        ModelSettings(base_url="http://10.0.0.1/v1")
    assert ModelSettings(base_url="http://10.0.0.1/v1", allow_insecure=True).base_url == "http://10.0.0.1/v1"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost@example.com",
        "http://example.com\\@localhost",
        "http://local\thost",
        "https://user:pass@example.com",
        "file:///etc/passwd",
        "ftp://example.com",
        "//example.com",
        "example.com/v1",
        "https://",
        "https://[::1",
        "https://h:99999",
        "https://h/v1?",
        "https://h/#x",
        "",
    ],
)
def test_what_is_no_plain_url_is_refused_even_when_open_ones_are_allowed(url):
    with pytest.raises(ValidationError):
        ModelSettings(base_url=url, allow_insecure=True)


@given(st.text(max_size=30))
def test_any_text_is_a_url_or_refused(text):
    with suppress(ValidationError):
        url = ModelSettings(base_url=f"http://{text}").base_url
        assert urlsplit(url).hostname == "localhost" or ip_address(urlsplit(url).hostname).is_loopback


def test_a_refused_url_is_not_in_the_error():
    with pytest.raises(ValidationError) as caught:
        ModelSettings(base_url="https://me:canary@example.com")
    assert "canary" not in str(caught.value)


def test_a_slash_at_the_end_says_nothing():
    assert ModelSettings(base_url="https://h/v1/").base_url == "https://h/v1"


def test_null_sends_no_sampling_setting():
    model = ModelSettings(temperature=None, top_p=None, seed=None)
    assert (model.temperature, model.top_p, model.seed) == (None, None, None)


def test_a_temperature_is_the_same_number_however_it_is_written():
    written = [ModelSettings(), *(ModelSettings(temperature=value) for value in (0, 0.0, "0"))]
    assert {repr(model.temperature) for model in written} == {"0.0"}

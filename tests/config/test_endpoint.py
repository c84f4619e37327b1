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


def test_a_slash_at_the_end_is_dropped():
    assert ModelSettings(base_url="https://h/v1/").base_url == "https://h/v1"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://h/v1/?api-version=2024-10-21", "https://h/v1?api-version=2024-10-21"),
        ("https://h?a=b/", "https://h?a=b/"),
    ],
)
def test_a_url_may_have_a_query(written, kept):
    assert ModelSettings(base_url=written).base_url == kept


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (None, "auto"),
        ("", "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ("http://p:3128", "http://p:3128"),
        ("proxy:3128", "proxy:3128"),
    ],
)
def test_a_proxy_is_a_url_or_a_word(written, kept):
    assert ModelSettings(proxy=written).proxy == kept


def test_a_proxy_and_its_password_are_in_no_representation(job):
    config = job.load(model="{proxy: 'http://me:${P}@proxy:3128'}", env={"P": CANARY})
    assert CANARY in config.model.proxy
    assert CANARY not in repr(config)


def test_what_variables_stand_for_in_headers_is_secret_and_what_is_written_there_is_not(job):
    headers = "headers: {X-Title: News, X-Team: 'the ${TEAM}', X-Zone: '${NOWHERE:-home}'}"
    config = job.load(model=f"{{{headers}, name: '${{NAME}}'}}", env={"TEAM": "a-team", "NAME": "a-model"})
    assert config.model.secrets == {"a-team"}
    assert config.model_copy().model.secrets == {"a-team"}


@pytest.mark.parametrize(
    "header", ["x-portkey-provider: openai", "X-Title: Keynotes", "x-max-tokens: '9'", "X-Auth-Type: basic"]
)
def test_a_header_is_secret_by_a_whole_word_of_its_name(job, header):
    assert job.load(model=f"{{headers: {{{header}}}}}").model.headers


def test_null_sends_no_sampling_setting():
    model = ModelSettings(temperature=None, top_p=None, seed=None)
    assert (model.temperature, model.top_p, model.seed) == (None, None, None)


def test_a_temperature_is_the_same_number_however_it_is_written():
    written = [ModelSettings(), *(ModelSettings(temperature=value) for value in (0, 0.0, "0"))]
    assert {repr(model.temperature) for model in written} == {"0.0"}


CANARY = "sk-canary-4711"
OPEN_URL = "sends the key and the rows unencrypted; write https://, or set allow_insecure: true"
PROXY_FIX = "write one such as http://proxy.example:3128, none for no proxy, or leave it out"
HIDDEN = "looks like an API key, which does not belong in the config; use api_key_env with the name of the variable that holds it"

# Models that are wrong: (the section, the line behind its place).
MODELS = {
    "a provider with a typo": ("provider: openia", "provider: openia is not known; did you mean openai?"),
    "no base_url": (
        "provider: openai-compatible",
        "base_url: is missing, and provider openai-compatible needs it; write one such as https://host/v1",
    ),
    "http to elsewhere": ("base_url: http://example.com/v1", f"base_url: http://example.com/v1 {OPEN_URL}"),
    "http to nearly here": (
        "base_url: http://127.0.0.1.example.com",
        f"base_url: http://127.0.0.1.example.com {OPEN_URL}",
    ),
    "a user in the URL": (
        f"base_url: https://me:{CANARY}@example.com",
        "base_url: carries a user name or a password; take it out and use api_key_env",
    ),
    "a user in the URL, allowed": (
        f"allow_insecure: true, base_url: http://me:{CANARY}@example.com",
        "base_url: carries a user name or a password; take it out and use api_key_env",
    ),
    "a file for a URL": (
        "allow_insecure: true, base_url: file:///etc/passwd",
        "base_url: file:///etc/passwd is not an http or https URL; write one such as https://host/v1",
    ),
    "a key in the query": (
        f"base_url: 'https://example.com/v1?key={CANARY}'",
        "base_url: holds a secret, which does not belong in the config; write ${NAME} and set that variable",
    ),
    "a password for a proxy": (
        f"proxy: 'http://me:{CANARY}@proxy:3128'",
        "proxy: holds a secret, which does not belong in the config; write ${NAME} and set that variable",
    ),
    "a password for a proxy without a scheme": (
        f"proxy: 'me:{CANARY}@proxy:3128'",
        "proxy: holds a secret, which does not belong in the config; write ${NAME} and set that variable",
    ),
    "a proxy of another kind": (
        "proxy: socks5://proxy:1080",
        f"proxy: socks5://proxy:1080 is a SOCKS proxy, and only HTTP proxies are spoken; {PROXY_FIX}",
    ),
    "no proxy at all": (
        "proxy: 'http://'",
        f'proxy: "http://" is not the URL of a proxy; {PROXY_FIX}',
    ),
    "a port that is none": (
        "base_url: https://example.com:abc",
        "base_url: https://example.com:abc is not a URL; write one such as https://host/v1",
    ),
    "api_key": (f"api_key: {CANARY}", f"api_key: {HIDDEN}"),
    "api-key, not like one": (
        "api-key: canary-4711",
        "api-key: does not belong in the config; use api_key_env with the name of the variable that holds it",
    ),
    "a key for the variable's name": (f"api_key_env: {CANARY}", f"api_key_env: {HIDDEN}"),
    "a secret for the variable's name": (
        "api_key_env: canary4711",
        "api_key_env: is not the name of an environment variable in capitals; write the name, never the key",
    ),
    "a key for the model's name": (f"name: {CANARY}", f"name: {HIDDEN}"),
    "a key in a header": (
        "headers: {X-Api-Key: canary4711}",
        "headers.X-Api-Key: holds a secret, which does not belong in the config; write ${NAME} and set that variable",
    ),
    "a long secret for a provider": (
        "provider: canary4711canary4711canary4711",
        "provider: is not known; write one of oxen, openai, openai-compatible, local, simulate",
    ),
    "a header that is none": (
        '{headers: {"a b": x}}'[1:-1],
        "headers.a b: is not the name of a header; use letters, digits and -",
    ),
    "a header with a line break": (
        r'headers: {A: "x\r\nB: y"}',
        "headers.A: has a line break or a character that no header may hold; write plain ASCII",
    ),
    "a header twice": (
        "headers: {A: x, a: y}",
        "headers: has a name twice, apart from capitals; keep one of them",
    ),
    "two sources of the key": (
        "api_key_env: KEY, api_key_file: key.txt",
        "api_key_env: is given beside api_key_file; keep one of them",
    ),
    "heat": ("temperature: 2.1", "temperature: 2.1 is not a temperature; write a number from 0 to 2"),
    "no probability": ("top_p: 0", "top_p: 0 is not a probability; write a number above 0, at most 1"),
    "a seed beyond 64 bits": (
        "seed: 9223372036854775808",
        "seed: 9223372036854775808 is too large for the 64 bits of a JSON integer; write a smaller number",
    ),
    "half a seed": ("seed: 0.5", "seed: 0.5 is not a whole number; write digits only, such as 7"),
    "yes for true": ("logprobs: yes", "logprobs: yes is not true or false; write one of them"),
    "too many rows": (
        "rows_per_request: 101",
        "rows_per_request: 101 is not a number of rows; write 1 to 100, or auto",
    ),
    "a price below 0": (
        "price: {input: -1, output: 1}",
        "price.input: -1 is not a price; write US dollars per million tokens such as 0.10, or 0",
    ),
    "half a price": (
        "price: {input: 1}",
        "price.output: is missing; add it (US dollars per million tokens written)",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_or_must_not_be_asked_is_refused(job, name):
    text, line = MODELS[name]
    assert job.problems(model=f"{{{text}}}") == [f"job.yaml:4: model.{line}"]


@pytest.mark.parametrize("name", MODELS)
def test_a_secret_is_in_no_message(job, name):
    text, _ = MODELS[name]
    assert "canary" not in str(job.problems(model=f"{{{text}}}"))

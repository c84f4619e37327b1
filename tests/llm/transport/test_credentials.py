"""The key is found where the config says, checked, and shown in no message."""

from pathlib import Path

import pytest

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.transport.credentials import read_key, request_headers

CANARY = "sk-canary-123"


def model(**settings: object) -> ModelSettings:
    return ModelSettings.model_validate({"provider": "oxen", **settings})


def test_a_key_is_read_from_the_providers_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXEN_API_KEY", CANARY)
    assert read_key(model()) == CANARY
    assert request_headers(model(headers={"X-Team": "a"})) == {
        "Authorization": f"Bearer {CANARY}",
        "X-Team": "a",
    }


def test_another_variable_may_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    monkeypatch.setenv("OXEN_API_KEY", "other")
    assert read_key(model(api_key_env="MY_KEY")) == CANARY


@pytest.mark.parametrize("content", [CANARY, CANARY + "\n", CANARY + "\r\n", f" {CANARY}\n"])
def test_a_file_may_hold_it_and_is_read_anew_each_time(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content, newline="")
    assert read_key(model(api_key_file=str(file))) == CANARY
    file.write_text("rotated")
    assert read_key(model(api_key_file=str(file))) == "rotated"


@pytest.mark.parametrize(
    ("value", "state"), [(None, "is not set"), ("", "is empty"), (" \t", "is empty"), ("\n", "is empty")]
)
def test_a_missing_key_names_the_variable_and_the_way_without(
    monkeypatch: pytest.MonkeyPatch, value: str | None, state: str
) -> None:
    monkeypatch.delenv("OXEN_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OXEN_API_KEY", value)
    with pytest.raises(ConfigError, match=f"OXEN_API_KEY {state}.*--provider local"):
        request_headers(model())


@pytest.mark.parametrize(
    "value", [f"{CANARY}\nx", f"{CANARY}\r\nX-Evil: 1\r\n", f"{CANARY}é", f"{CANARY}\x7f", f"{CANARY}\x1b"]
)
def test_a_malformed_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OXEN_API_KEY", value)
    with pytest.raises(ConfigError, match="OXEN_API_KEY") as caught:
        read_key(model())
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", None])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"api_key_file .*key"):
        read_key(model(api_key_file=str(file)))


def test_a_custom_endpoint_needs_no_key_but_the_one_that_is_named() -> None:
    own = {"provider": "openai-compatible", "base_url": "http://127.0.0.1:9/v1"}
    assert request_headers(model(**own)) == {}
    with pytest.raises(ConfigError, match="SURELY_NOT_SET is not set"):
        read_key(model(**own, api_key_env="SURELY_NOT_SET"))


@pytest.mark.parametrize("provider", ["local", "simulate"])
def test_a_server_of_our_own_needs_no_key(provider: str) -> None:
    assert request_headers(model(provider=provider)) == {}

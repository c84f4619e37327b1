"""The catalogue knows the prices of many models, and is not asked about endpoints whose prices it cannot know."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.catalog import catalog_price, ensure_payable
from pipeline.llm.pricing import per_million


def model(**settings: Any) -> ModelSettings:
    return ModelSettings.model_validate(settings)


def at(url: str, name: str) -> ModelSettings:
    return model(provider="openai-compatible", base_url=url, name=name)


NANO = per_million(0.10, 0.40, 0.025, "catalog")


@pytest.mark.parametrize(
    "same",
    [
        model(),
        model(provider="simulate"),
        model(provider="openai", name="gpt-4.1-nano-2025-04-14"),
        at("https://api.openai.com/v1", "gpt-4.1-nano"),
        at("https://hub.oxen.ai/api/ai", "gpt-4-1-nano-2025-04-14"),
        at("https://mine.openai.azure.com/openai/v1", "gpt-4.1-nano"),
    ],
    ids=lambda found: f"{found.provider} {found.base_url} {found.name}",
)
def test_a_model_has_its_price_under_all_its_names(same: ModelSettings) -> None:
    found = catalog_price(same)
    assert found is not None
    assert (found.input, found.output, found.cached) == pytest.approx((NANO.input, NANO.output, NANO.cached))
    assert found.source == "catalog"


@pytest.mark.parametrize("name", ["gpt-5-nano", "claude-3-5-haiku-latest", "gemini-2-5-flash-lite"])
def test_oxens_names_of_many_vendors_are_known(name: str) -> None:
    assert catalog_price(model(name=name)) is not None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://openrouter.ai/api/v1", "openai/gpt-4.1-nano"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash-lite"),
        ("https://api.mistral.ai/v1", "mistral-small-latest"),
        ("https://api.groq.com/openai/v1", "llama-3.1-8b-instant"),
    ],
)
def test_known_endpoints_are_known_by_their_url(url: str, name: str) -> None:
    assert catalog_price(at(url, name)) is not None


@pytest.mark.parametrize(
    "unknown",
    [
        at("http://127.0.0.1:8000/v1", "gpt-4.1-nano"),
        at("https://llm.example.com/v1", "gpt-4.1-nano"),
        at("https://oxen.ai.example.com/v1", "gpt-4.1-nano"),
        model(provider="oxen", base_url="http://localhost:1/v1"),
        model(provider="openai", base_url="http://localhost:1/v1", name="gpt-4.1-nano"),
        model(provider="local"),
        model(name="unheard-of"),
        at("https://openrouter.ai/api/v1", "meta-llama/llama-3.3-70b-instruct:free"),
    ],
    ids=lambda found: f"{found.provider} {found.base_url} {found.name}",
)
def test_a_server_of_ones_own_and_an_unknown_model_have_no_list_price(unknown: ModelSettings) -> None:
    assert catalog_price(unknown) is None


def test_a_price_that_changes_in_the_course_of_the_day_is_the_highest_of_them() -> None:
    url, name = "https://api.deepseek.com", "deepseek-chat"
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0)
    hourly = [
        calc_price(
            Usage(input_tokens=1000),
            name,
            provider_api_url=url,
            genai_request_timestamp=midnight + timedelta(hours=hour),
        ).total_price
        for hour in range(24)
    ]
    found = catalog_price(at(url, name))
    assert found is not None
    assert found.input == pytest.approx(float(max(hourly)) / 1000)
    assert max(hourly) > min(hourly), "no price here changes any more: take another model"


def test_a_budget_at_openai_needs_a_model_of_known_price_before_anything_is_sent() -> None:
    ensure_payable(model(provider="openai", name="gpt-5-nano"), capped=True)
    ensure_payable(model(provider="openai", name="gpt-99"), capped=False)
    ensure_payable(model(provider="openai", name="gpt-99", price={"input": 1, "output": 1}), capped=True)
    ensure_payable(at("https://llm.example.com/v1", "gpt-99"), capped=True)  # its replies may tell
    with pytest.raises(ConfigError, match=r"max_cost_usd is set.*'gpt-99'; set model\.price") as caught:
        ensure_payable(model(provider="openai", name="gpt-99"), capped=True)
    assert caught.value.exit_status == 78


@pytest.mark.slow
def test_the_catalogue_is_loaded_only_where_nobody_else_tells_a_price() -> None:
    code = """
import sys
from pipeline.config import ModelSettings
from pipeline.llm.billing import Billing
from pipeline.llm.replies import Usage
told = {"pricing": {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}}
price = {"input": 1, "output": 1}
for model, about, usage in (({"price": price}, {}, Usage(9, 0, 1)), ({}, told, Usage(9, 0, 1)), ({}, {}, Usage(9, 0, 1, 0.1))):
    bill = Billing(ModelSettings.model_validate(model), capped=False)
    bill.learn(about)
    assert bill.cost(usage) is not None and bill.source
assert "genai_prices" not in sys.modules
bill = Billing(ModelSettings(), capped=False)
assert bill.cost(Usage(9, 0, 1)) and bill.source == "catalog"
assert "genai_prices" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)

"""The table of providers, and where each of them is asked."""

from typing import get_args

import pytest

from pipeline.config import ModelSettings
from pipeline.config.endpoint import ProviderName
from pipeline.config.providers import PROVIDERS, base_url
from pipeline.errors import ConfigError


def test_the_table_holds_the_providers_that_a_config_may_name():
    assert tuple(PROVIDERS) == get_args(ProviderName)
    assert all(provider.name == name for name, provider in PROVIDERS.items())


def test_a_config_may_move_a_provider_to_another_url():
    assert base_url(ModelSettings()) == PROVIDERS["oxen"].base_url
    assert base_url(ModelSettings(base_url="https://host/v1/")) == "https://host/v1"


def test_a_provider_on_this_machine_has_no_url_before_it_is_started():
    with pytest.raises(ConfigError, match=r"model\.base_url is not set; the provider 'local' needs it"):
        base_url(ModelSettings(provider="local"))

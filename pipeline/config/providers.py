"""The known providers, one line each. All of them speak OpenAI's chat completions; this table is what differs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.config.endpoint import ModelSettings, ProviderName
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.config.models import Config


@dataclass(frozen=True, slots=True)
class Provider:
    """The facts about one provider.

    Attributes:
        name: Its name in the config, `model.provider`.
        base_url: Its URL; None if the config must state it, or if it is started on this machine.
        key_env: The environment variable that holds its API key by default; None if there is none.
        key_required: Whether it refuses to answer without an API key.
        model: Its only model, whatever the config says; None if it has several.
        batch_share: What tokens cost in a batch at its own URL, as a share of the usual price; None if that is not known.
    """

    name: ProviderName
    base_url: str | None
    key_env: str | None
    key_required: bool
    model: str | None = None
    batch_share: float | None = None


PROVIDERS: Mapping[ProviderName, Provider] = {
    provider.name: provider
    for provider in (
        Provider("oxen", "https://hub.oxen.ai/api/ai", "OXEN_API_KEY", key_required=True),
        Provider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", key_required=True, batch_share=0.5),
        Provider("openai-compatible", None, None, key_required=False),
        Provider("local", None, None, key_required=False, model="multilingual-e5-small"),
        Provider("simulate", None, None, key_required=False, batch_share=0.5),
    )
}
"""Name to provider; the base URLs are those of the providers' own documentation."""


def base_url(model: ModelSettings) -> str:
    """Return the base URL of the endpoint of *model*, without a slash at the end of its path.

    Raises:
        ConfigError: If neither the config nor the provider has one.
    """
    url = model.base_url or PROVIDERS[model.provider].base_url
    if url is None:
        raise ConfigError(f"model.base_url is not set; the provider {model.provider!r} needs it")
    return url


def batch_share(model: ModelSettings) -> float | None:
    """Return what a token of *model* costs in a batch, as a share of its usual price; None if that is not known."""
    provider = PROVIDERS[model.provider]
    elsewhere = model.base_url is not None and model.base_url != provider.base_url
    return None if elsewhere and model.provider != "simulate" else provider.batch_share


def for_provider(config: "Config") -> "Config":
    """Return *config* with the name of the model that will answer: some endpoints have only one."""
    only = PROVIDERS[config.model.provider].model
    if only is None:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"name": only})})


def named_endpoints(config: "Config") -> Iterator[tuple[str, "Config"]]:
    """Yield the config of each of several endpoints, after its name and a colon; of one, after nothing."""
    configs = config.each_endpoint()
    if len(config.model.endpoints) == 0:
        yield "", config
        return
    for name, each in zip(endpoint_names(configs), configs, strict=True):
        yield f"{name}: ", each


def endpoint_names(configs: Sequence["Config"]) -> list[str]:
    """Return what each of several endpoints is called: its host, with its key's variable or a number where that is no name yet."""
    places = [urlsplit(base_url(config.model)).netloc for config in configs]
    told = [
        place if places.count(place) == 1 else f"{place} {config.model.api_key_env or config.model.name}"
        for place, config in zip(places, configs, strict=True)
    ]
    return [
        name if told.count(name) == 1 else f"{name} {number}" for number, name in enumerate(told, start=1)
    ]


def second_config(config: "Config") -> "Config | None":
    """Return the config of the second model, as if it were the only one; None if there is none."""
    return None if config.second is None else for_provider(config.second)

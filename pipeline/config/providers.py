"""The endpoints we know, a line each. All of them speak OpenAI's chat completions; what differs is here."""

from dataclasses import dataclass

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Provider:
    """An endpoint's own facts.

    Attributes:
        name: Its name in the config.
        base_url: Where it is; None if the config must tell.
        key_env: The environment variable that holds its key; None if it needs none.
        key_required: Whether it refuses to answer without a key.
        model: The only model that it has, whatever the config says; None if it has several.
    """

    name: str
    base_url: str | None
    key_env: str | None
    key_required: bool
    model: str | None = None


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("oxen", "https://hub.oxen.ai/api/ai", "OXEN_API_KEY", key_required=True),
        Provider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", key_required=True),
        Provider("openai-compatible", None, None, key_required=False),
        Provider("local", None, None, key_required=False, model="multilingual-e5-small"),
        Provider("simulate", None, None, key_required=False),
    )
}


def base_url(model: ModelSettings) -> str:
    """Return the URL below which the endpoint of *model* lives, without a slash at its end.

    Raises:
        ConfigError: If neither the config nor the provider has one.
    """
    url = model.base_url or PROVIDERS[model.provider].base_url
    if url is None:
        raise ConfigError(f"model.base_url is not set; the provider {model.provider!r} needs it")
    return url.rstrip("/")

"""Read the API key when it is needed; never store it."""

import os
from collections.abc import Mapping

from pipeline.config import ModelSettings
from pipeline.config.providers import PROVIDERS
from pipeline.errors import ConfigError
from pipeline.system.redaction import is_secret_name

OFFLINE_HINT = "or try it without a key: --provider local"


def request_headers(model: ModelSettings) -> Mapping[str, str]:
    """Return the headers of every request, including the key.

    Raises:
        ConfigError: As for `read_key`, or if a header for a secret is empty.
    """
    key = read_key(model)
    for name, value in model.headers.items():
        if is_secret_name(name) and not value.strip():
            raise ConfigError(f"model.headers.{name} is empty; set the variable that it is filled in from")
    bearer = {"Authorization": f"Bearer {key}"} if key is not None else {}
    return {**bearer, **model.headers}


def read_key(model: ModelSettings) -> str | None:
    """Return the key for *model* from its file or environment variable; None if it needs none.

    Raises:
        ConfigError: If the provider needs a key and there is none, or it is malformed; the message never holds the key.
    """
    provider = PROVIDERS[model.provider]
    if model.api_key_file is not None:
        try:
            return _checked(model.api_key_file.read_text(), f"model.api_key_file {model.api_key_file}")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"model.api_key_file {model.api_key_file}: cannot be read: {type(error).__name__}"
            ) from None
    variable = model.api_key_env or provider.key_env
    if variable is None:
        return None
    value = os.environ.get(variable, "")
    if not value.strip():
        if not provider.key_required and model.api_key_env is None:
            return None
        state = "is empty" if variable in os.environ else "is not set"
        raise ConfigError(
            f"the environment variable {variable} {state}; set it to your {provider.name} key, {OFFLINE_HINT}"
        )
    return _checked(value, f"the environment variable {variable}")


def _checked(value: str, where: str) -> str:
    key = value.strip(" \t") if value.count("\n") != 1 else value.strip()
    if not key:
        raise ConfigError(f"{where} is empty; put the key there, {OFFLINE_HINT}")
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"{where} holds a line break or another character that no key has; set it again, {OFFLINE_HINT}"
        )
    return key

"""The base class of all sections of the config."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Settings(BaseModel):
    """A section of the config: an unknown key is an error, nothing changes after loading.

    pydantic's own error messages omit the input, because it may hold a secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_sections(cls, data: Any) -> Any:
        # `limits:` with every key below it commented out is null in YAML, but the user means a section left out.
        if not isinstance(data, dict):
            return data
        optional = {name for name, about in cls.model_fields.items() if about.default_factory is not None}
        return {key: value for key, value in data.items() if not (value is None and key in optional)}

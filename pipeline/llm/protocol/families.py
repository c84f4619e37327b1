"""What is known about families of models by their names.

It only saves refused requests: what decides is the endpoint. The newest facts come first.
"""

import re
from dataclasses import dataclass

from pipeline.config import ModelSettings


@dataclass(frozen=True, slots=True)
class Family:
    """What the models of a family take.

    Attributes:
        limit: The name under which they take the ceiling of a reply.
        effort: The least effort of reasoning that they take; None if it is unknown, or if they do not reason.
        samples: Whether they take temperature and logprobs whatever the effort is.
    """

    limit: str = "max_tokens"
    effort: str | None = None
    samples: bool = True


_NEW_LIMIT = "max_completion_tokens"

# Oxen.ai writes gpt-4-1 for gpt-4.1. A date such as in gpt-5-2025-08-07 is no minor version.
_FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        # OpenAI from GPT-5.1 on: `none` is an effort; temperature and logprobs are taken with it alone.
        (r"gpt-(?:5[.-][1-9](?!\d)|[6-9]|1\d)", Family(_NEW_LIMIT, "none", samples=False)),
        (r"gpt-5-chat", Family(_NEW_LIMIT)),  # does not reason
        (r"gpt-5", Family(_NEW_LIMIT, "minimal", samples=False)),
        (r"o[1-9](?:$|[-.])", Family(_NEW_LIMIT, "low", samples=False)),
        (r"gpt-oss", Family(effort="low")),
        # Google's OpenAI endpoint: the models named here can leave thinking out.
        (r"gemini-(?:2\.5-flash|.*flash-lite)", Family(effort="none")),
    )
)

_UNKNOWN = Family()
_UNKNOWN_AT_OPENAI = Family(_NEW_LIMIT)
"""All of OpenAI's chat models take the newer name, the older ones, too."""


def family_of(model: ModelSettings) -> Family:
    """Return what is known about the family that *model* belongs to, by its name alone."""
    name = model.name.lower().rpartition("/")[2]  # gateways write openai/gpt-5-nano
    found = next((family for pattern, family in _FAMILIES if pattern.match(name)), None)
    return found or (_UNKNOWN_AT_OPENAI if model.provider == "openai" else _UNKNOWN)

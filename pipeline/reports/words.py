"""Texts as a page shows them."""

import re

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)
"""Characters that a page must not have, or that turn the direction of what stands around them."""


def clean(text: object, most: int | None = None) -> str:
    """Return *text* with visible stand-ins for unsafe characters, cut to *most* characters."""
    shown = UNSAFE.sub("\ufffd", ", ".join(map(str, text)) if isinstance(text, list | tuple) else str(text))
    return shown if most is None or len(shown) <= most else shown[: most - 1].rstrip() + "…"

"""About how many tokens a text has, by what it is made of: words, digits, marks, and the letters of other scripts.

Closer than bytes by the text, as a planner has to be before anything was billed. It is not `tasks.tokens.estimate_tokens`, which must
stay what it is because cut texts are part of keys, and which is quick enough for every row.
"""

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_OTHERS = {
    re.compile(pattern): each
    for pattern, each in (
        (r"[0-9]{1,3}", 0.86),
        (r"[^\w\s]+|_+", 0.78),  # a run of marks, and for each mark in it the next line
        (r"[^\w\s]|_", 0.32),
        (r"[ \t]{2,}|[\r\n]", 0.12),
    )
}
_SCRIPTS = {
    re.compile(f"[{letters}]+"): each
    for letters, each in (
        ("\u00c0-\u024f", 0.92),  # accented Latin
        ("\u0370-\u03ff", 0.40),  # Greek
        ("\u0400-\u052f", 0.31),  # Cyrillic
        ("\u0590-\u077f", 0.36),  # Hebrew, Arabic
        ("\u0900-\u0dff", 0.40),  # of India
        ("\u0e00-\u0eff", 0.25),  # Thai, Lao
        ("\u0530-\u058f\u10a0-\u10ff", 0.45),  # Armenian, Georgian
        ("\u1000-\u109f\u1200-\u17ff", 0.80),  # Burmese, Ethiopic, Khmer
        ("\u1e00-\u1eff", 1.00),  # Vietnamese
        ("\u3040-\u30ff", 0.65),  # Japanese kana
        ("\u3400-\u9fff\uf900-\ufaff", 0.77),  # Chinese
        ("\uac00-\ud7af", 0.60),  # Korean
        ("\U00010000-\U0010ffff", 1.50),  # emoji, and what is rare
    )
}
WORD, LETTER, SHORT = 0.72, 0.35, 6
"""Tokens of a word, and of each of its letters past so many."""

LONGEST = 8_000
"""Characters that are looked at; the rest of a longer text is taken to be like them."""


def tokens_of(text: str) -> float:
    """Return about how many tokens *text* has.

    The figures were fitted to what three tokenizers of today make of program messages in 27 languages, package descriptions,
    source code and identifiers; a single text is off by a tenth on average, a table by far less.
    """
    seen = text[:LONGEST]
    words = [len(word) for word in _WORD.findall(seen)]
    found = WORD * len(words) + LETTER * sum(letters - SHORT for letters in words if letters > SHORT)
    found += sum(each * len(pattern.findall(seen)) for pattern, each in _OTHERS.items())
    if not seen.isascii():
        found += sum(each * sum(map(len, pattern.findall(seen))) for pattern, each in _SCRIPTS.items())
    return found * len(text) / max(1, len(seen))

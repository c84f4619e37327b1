r"""Rendering a row's text as data: as a JSON string in which nothing can pass for a token of a chat template.

Many servers tokenize `<|im_end|>` or `</s>` in a text as the control tokens of that name, so that a cell could open turns
of its own. In a JSON string `<` may be written `\u003c` and `[` `\u005b`: the text is the same to whoever reads JSON, but the
token's spelling is no longer there.

Which spellings are tokens differs from model to model, and new ones appear; so what is harmless is listed instead. A marker is
`<` before a bar, before another `<`, or before one word that the bracket closes (`<start_of_turn>`, `</think>`), except where
that word is an element of HTML: marked-up text stays as short as it was, apart from `<s>`, which is such a token. XML's own
element names cost about four tokens more each. A tag with attributes is no marker. A word in capitals in square brackets,
such as `[INST]`, is one.
"""

import json
import re

HTML = (
    "a abbr address area article aside audio b base bdi bdo big blockquote body br button canvas caption center cite code col "
    "colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset figcaption figure font footer form h1 h2 h3 "
    "h4 h5 h6 head header hr html i iframe img input ins kbd label legend li link main map mark menu meta meter nav noscript "
    "object ol optgroup option p param pre progress q rp rt ruby samp script section select small source span strike strong "
    "style sub summary sup svg table tbody td template textarea tfoot th thead time title tr tt u ul var video wbr"
)
"""The elements of HTML that stay as they are."""

_HARMLESS = frozenset(HTML.split())

# The fullwidth bar is DeepSeek's; the word is as in <start_of_turn>, never as in <a@b.c> or <3>.
_MARKER = re.compile(r"<(?=/?[|\uff5c<]|/?([^\W\d][\w:.-]*)>)|\[(?=/?g?[A-Z][A-Z_]+\])")

_json = json.JSONEncoder(ensure_ascii=False).encode
"""Created once, because `json.dumps` creates an encoder for each call."""


def as_data(text: str) -> str:
    """Return *text* as a JSON string, with the first character of each template marker escaped."""
    encoded = _json(text)
    if "<" not in text and "[" not in text:  # nearly all texts, for which this is the whole cost
        return encoded
    return _MARKER.sub(_escaped, encoded)


def _escaped(found: re.Match[str]) -> str:
    word = found[1]
    harmless = word is not None and word.lower() in _HARMLESS
    return found[0] if harmless else f"\\u{ord(found[0]):04x}"

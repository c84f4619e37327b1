"""A secret is cut out of a text however an endpoint, a gateway or a library has encoded and escaped it on the way."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.system.redaction import MIN_CHARACTERS, REDACTED, Redaction

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]) | st.just(" "), max_size=9
)
SECRETS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E) | st.sampled_from("é世😀"), min_size=MIN_CHARACTERS
).filter(lambda secret: secret not in REDACTED)

ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
}
ESCAPES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON with all as it is": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON of PHP": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "URL": lambda text: quote(text, safe=""),
    "URL but for slashes": quote,
    "URL, small": lambda text: "".join(
        c if c.isalnum() and c.isascii() else "".join(f"%{b:02x}" for b in c.encode()) for c in text
    ),
    "form": quote_plus,
    "URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "HTML, all of it": lambda text: "".join(
        c if c.isalnum() and c.isascii() else f"&#x{ord(c):X};" for c in text
    ),
    "HTML in decimals": lambda text: "".join(
        c if c.isalnum() and c.isascii() else f"&#{ord(c):03};" for c in text
    ),
    "HTML in JSON of Go": lambda text: json.dumps(html.escape(text)).replace("&", "\\u0026"),
    "JSON in a URL": lambda text: quote(json.dumps(text), safe=""),
    "JSON in HTML": lambda text: html.escape(json.dumps(text)),
    "Python": lambda text: "".join(f"\\x{ord(c):02x}" if c in "\"'\\<>&" else c for c in text),
}


@given(SECRETS, TEXT, TEXT, st.sampled_from(list(ENCODINGS)), st.sampled_from(list(ESCAPES)))
def test_no_guise_of_a_secret_stays(secret: str, before: str, after: str, encoding: str, escape: str) -> None:
    redaction = Redaction([f"Bearer {secret}"])
    shown = ESCAPES[escape](ENCODINGS[encoding](f"{before}{secret}{after}"))
    # What may stay of base64 are the characters at both ends, which hold bits of the neighbours, too.
    core = (
        ENCODINGS[encoding](secret).rstrip("=")[3:-2] if "base64" in encoding else ENCODINGS[encoding](secret)
    )
    for said in (redaction.of(shown), redaction.of_bytes(shown.encode()).decode()):
        assert REDACTED in said
        assert ESCAPES[escape](core).strip('"\\') not in said.replace(REDACTED, "") or core in before + after


@given(SECRETS, st.sampled_from(list(ESCAPES)))
def test_of_credentials_the_password_is_found_in_the_header_and_the_other_way_round(
    secret: str, escape: str
) -> None:
    header = "Basic " + base64.b64encode(f"user:{secret}".encode()).decode()
    assert REDACTED in Redaction([secret]).of(f"you sent {ESCAPES[escape](header)}.")
    assert secret not in Redaction([header]).of(f"no such password: {secret}.")
    assert REDACTED in Redaction([header]).of(f"no such password: {ESCAPES[escape](secret)}.")


@given(SECRETS, st.text(max_size=40))
def test_a_text_without_the_secret_stays_as_it_is(secret: str, text: str) -> None:
    redaction = Redaction([secret])
    if REDACTED not in redaction.of(text):
        assert redaction.of(text) == text
        assert redaction.of_bytes(text.encode(errors="replace")) == text.encode(errors="replace")


@pytest.mark.parametrize("text", ["Basic news for you", "basic", "Basic ====", "Basic dXNlcg=="])
def test_a_header_that_holds_no_credentials_is_a_secret_like_others(text: str) -> None:
    assert Redaction([text]).of("news about dXNlcg") == "news about dXNlcg"

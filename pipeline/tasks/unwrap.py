"""What is around an answer and no part of it: thoughts before it, a code fence, the model's own tokens after it."""

import re

THINK_START = re.compile(r"\s*(<(think|thinking|thought|reasoning)>|\[THINK\]|◁think▷)", re.IGNORECASE)
THINK_END = re.compile(r"</(think|thinking|thought|reasoning)>|\[/THINK\]|◁/think▷", re.IGNORECASE)

SPECIAL_TOKEN = re.compile(r"<[|｜][^<>]{1,40}[|｜]>|</s>|<eos>|<end_of_turn>")  # noqa: RUF001 - DeepSeek's bars
"""A token of a chat template; servers that do not know it as the end of a turn leave it in the text."""

FENCE = "```"
INFO = re.compile(r"[\w+-]*\s*(?=[{\[\"])")
"""The language that a fence names, before JSON on the same line."""


def split_thoughts(text: str) -> tuple[str | None, str | None]:
    """Return the thoughts with which *text* begins, or None, and the reply after them, or None if they do not end."""
    start, end = THINK_START.match(text), None
    for found in THINK_END.finditer(text):
        end = found  # the last, as thoughts may speak of the tag
    if end is None:
        return None, None if start else text
    return text[start.end() if start else 0 : end.start()].strip(), text[end.end() :].strip()


def answer_in(reply: str) -> str:
    """Return *reply* without a code fence around it and without special tokens after it."""
    text = reply.strip()
    while text.endswith(">") and SPECIAL_TOKEN.fullmatch(text, text.rfind("<")):
        text = text[: text.rfind("<")].rstrip()
    if text.count(FENCE) != 2 or not text.endswith(FENCE):  # noqa: PLR2004 - where it begins and where it ends
        return text
    before, inside, _ = text.split(FENCE)
    first, line_end, rest = inside.partition("\n")
    if line_end and not INFO.match(first):
        inside = rest  # the first line names a language
    inside = INFO.sub("", inside.strip(), count=1) if INFO.match(inside.strip()) else inside.strip()
    # Words before the fence are passed over only where the fence says clearly what the answer is: one JSON value.
    return inside if not before or inside[:1] in {"{", "["} else text

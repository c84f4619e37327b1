"""Room for reasoning: whether a reply ended before the model came to its answer."""

from pipeline.llm.replies import Reply

RAISE = 4
"""Factor by which the ceiling of a reply is raised when reasoning has used it up."""

MAX_CEILING = 8192
"""Tokens; the ceiling is raised no further than this unasked, as each of them is paid for."""

THOUGHT, ITS_END = "<think>", "</think>"


def lacked_room(reply: Reply) -> bool:
    """Return whether *reply* was cut while the model was still reasoning."""
    finish, text = reply.finish, reply.text
    if finish is None or reply.status is not None:
        return False
    finish = finish.lower()
    # length, max_tokens, MAX_TOKENS, model_length, max_output_tokens, ...
    if "length" not in finish and "max" not in finish:
        return False
    return (
        text is None
        or reply.reasoning_tokens > 0
        or (text.lstrip().startswith(THOUGHT) and ITS_END not in text)
    )

"""Build the chat completion that carries an answer.

`logprobs` are those of the choice among the labels. `usage.prompt_tokens` counts with the model's own tokenizer,
prefixes and special tokens included: the row's text, and the labels' descriptions and examples, which are
`cached_tokens` once the model knows them. Nothing is generated; `completion_tokens` counts the pieces that the reply
is put together from.
"""

from math import log
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.servers.embedded.question import MODEL, Question
from pipeline.servers.protocol.completion import Said, completion

if TYPE_CHECKING:
    from pipeline.servers.embedded.model import Found


def reply(question: Question, found: "Found", name: str, created: int) -> dict[str, Any]:
    """Return the body of a chat completion.

    Args:
        question: What was asked.
        found: The answer.
        name: The reply's id.
        created: Unix time in seconds.
    """
    tokens = _tokens(question.choices.field, found.labels)
    listed: list[dict[str, Any]] = [
        {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}
        for token, value in tokens
    ]
    content = "".join(token for token, _ in tokens)
    return completion(
        name=name,
        created=created,
        model=MODEL,
        said=Said(content, logprobs=listed if question.logprobs else None),
        usage=_usage(found, len(tokens) * question.n),
        n=question.n,
    )


def _usage(found: "Found", completion_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": found.prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": found.cached_tokens},
        "cost": 0,
    }


def _tokens(answer_field: str, labels: tuple[tuple[str, float], ...]) -> list[tuple[str, float]]:
    """Return the pieces of the answer's JSON with their log probabilities; each label is one piece."""
    if answer_field == "label":
        before, after = '{"label":"', '"}'
    else:
        before, after = ('{"labels":["', '"]}') if labels else ('{"labels":[', "]}")
    tokens = [(before, 0.0)]
    for label, probability in labels:
        if len(tokens) > 1:
            tokens.append(('","', 0.0))
        tokens.append((orjson.dumps(label).decode()[1:-1], min(0.0, log(probability))))
    return [*tokens, (after, 0.0)]

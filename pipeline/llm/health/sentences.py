"""Sentences of refusals: whether what an endpoint says in unknown words is about the row or about the moment.

A row that is refused and later answered, asked the same, shows that the sentence was not about it; "too busy" in any language is
found out that way. Where the same sentence is said to several rows, each gets more tries, until it is known which it is.
"""

import re
from dataclasses import dataclass, replace

from pipeline.llm.replies import Failure, FailureKind

REFUSED_ROW = frozenset({FailureKind.ROW, FailureKind.UNSUPPORTED})
"""Kinds that are about the row as far as status and words tell."""

FEW_CALLS, MORE_CALLS, MOST_CALLS = 2, 4, 60
"""Calls of a row before a refusal counts: of a sentence said to it alone, to others, too, and of one that others have survived."""

PROVEN = 5
"""Rows given up after the second number of calls that show that no row survives the sentence."""

MOST_SENTENCES = 1000

_VARYING = re.compile(r"\w*\d\w*|[\W_]+")
"""Numbers, ids and times, which differ from one refusal to the next, and punctuation."""


@dataclass(slots=True)
class _Heard:
    """What is known of a sentence: rows that it was said to, and of them those given up; whether one survived it."""

    rows: int = 0
    given_up: int = 0
    survived: bool = False


class Sentences:
    """What became of the rows that were refused, by the sentence of the refusal."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}

    def judged(self, failure: Failure, calls: int) -> Failure:
        """Return *failure*, as a throttle if a row has survived its sentence, of a row with so many *calls* before."""
        if failure.kind not in REFUSED_ROW or failure.about_content or calls >= MOST_CALLS:
            return failure
        heard = self._heard.get(sentence(failure))
        return (
            replace(failure, kind=FailureKind.THROTTLED) if heard is not None and heard.survived else failure
        )

    def is_final(self, failure: Failure, refused: int, *, succeeded: bool) -> bool:
        """Return whether a row that was *refused* so often before has failed with this refusal; counts it.

        Before a run has *succeeded* once, a refusal of several rows is one of all rows.
        """
        words = sentence(failure)
        if words not in self._heard and len(self._heard) >= MOST_SENTENCES:
            self._heard.clear()
        heard = self._heard.setdefault(words, _Heard())
        heard.rows += refused == 0
        most = MORE_CALLS if succeeded and heard.rows > 1 and heard.given_up < PROVEN else FEW_CALLS
        final = refused + 1 >= most
        heard.given_up += final
        return final

    def on_survived(self, words: str) -> None:
        """Record that a row was answered that had been refused with the sentence *words* before."""
        self._heard.setdefault(words, _Heard()).survived = True


def sentence(failure: Failure) -> str:
    """Return what *failure* says, without what differs from one such refusal to the next."""
    return f"{failure.status} {_VARYING.sub(' ', f'{failure.code} {failure.message}'.lower())}"

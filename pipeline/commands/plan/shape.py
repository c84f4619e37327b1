"""What a request about rows consists of beside their texts, in tokens, and what a reply to it says."""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import mean

from pipeline.commands.plan.sizes import tokens_of
from pipeline.engine.packing.planned import ITEM_TOKENS
from pipeline.job.decisions import Question
from pipeline.llm.form_memory import FormMemory
from pipeline.llm.protocol.form import first_form
from pipeline.system.clock import Clock
from pipeline.tasks.packs import ALPHABET, ID_CHARACTERS
from pipeline.tasks.prompt import ASK, ASK_PACK
from pipeline.tasks.schema import is_listed, pack_schema
from pipeline.tasks.tokens import CHAT_TOKENS

SCHEMA_TOKENS = 9
"""Of what stands around a schema where the model reads it."""

LABELS_OF_MULTI = 2.0
"""Of a row that may have several, as long as nothing is known."""


SHORT_NAME, LONG_NAME = 2.0, 3.0
"""Tokens of a label's name that is as short as can be, and on average of names that are longer than need be."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The tokens of a request, by what becomes of them.

    Attributes:
        fixed: What is the same in each: instructions, labels, examples, the chat's own.
        schema: The schema, which some endpoints put before the model and bill for, and others do not.
        texts: What belongs to the rows.
    """

    fixed: float
    schema: float
    texts: float

    def over(self, rows: int) -> "Parts":
        """Return the share of one of so many rows."""
        return Parts(self.fixed / rows, self.schema / rows, self.texts / rows)


@dataclass(slots=True)
class Shape:
    """The requests of one job, or of an earlier config."""

    job: Question
    form: str = field(init=False)

    def __post_init__(self) -> None:
        config, task = self.job.config, self.job.task
        form = FormMemory(config, task, Clock()).recall() or first_form(config.model)
        self.form = form.mode

    def request(self, rows: int, texts: float) -> Parts:
        """Return the parts of a request about so many *rows*, whose texts have so many tokens together."""
        return Parts(*self._around(rows), texts + (rows * ITEM_TOKENS if rows > 1 else 0))

    @staticmethod
    def wording(rows: int) -> float:
        """Return the tokens of what is said before the texts, which does not belong to how every request begins."""
        return tokens_of(ASK) if rows == 1 else tokens_of(ASK_PACK) + rows * ITEM_TOKENS

    def spared_by_short_labels(self) -> float:
        """Return the tokens of a label that its name could do without; nothing where names are short already."""
        named = mean(tokens_of(label.name) for label in self.job.config.task.labels)
        return named - SHORT_NAME if named > LONG_NAME else 0.0

    def _around(self, rows: int) -> tuple[float, float]:
        return _around(self.job.task.system, self.job.task.pack_system, self._schema(rows), rows)

    def _schema(self, rows: int) -> str:
        if self.form != "json_schema":
            return ""
        if rows == 1:
            return _compact(self.job.task.schema)
        ids = [ALPHABET[n // 24] + ALPHABET[n % 24] + ALPHABET[-1] for n in range(rows)]
        return _compact(pack_schema(self.job.config.task, ids))

    def reply(self, rows: int) -> float:
        """Return the tokens of a reply about so many rows, without thoughts."""
        task = self.job.config.task
        names = [tokens_of(label.name) for label in task.labels]
        label = mean(names) if names else 1.0
        if task.kind == "multi":
            said = [len(example.labels or ()) for example in task.examples]
            label = (label + 1) * min(mean(said) if said else LABELS_OF_MULTI, len(names))
        each = 0.0 if rows == 1 else ID_CHARACTERS - 0.5 + (6.5 if is_listed(task) else 1.5)
        return ENVELOPE + rows * (label + each)


ENVELOPE = 5.0
"""Tokens of `{"label":""}`, and of a reply's end."""


@lru_cache(maxsize=256)
def _around(system: str, pack_system: str, schema: str, rows: int) -> tuple[float, float]:
    said = tokens_of(system if rows == 1 else pack_system) + tokens_of(ASK if rows == 1 else ASK_PACK)
    return said + CHAT_TOKENS, SCHEMA_TOKENS + tokens_of(schema) if schema else 0.0


def _compact(schema: object) -> str:
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)

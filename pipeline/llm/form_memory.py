"""The memory of which form of request each endpoint takes, so that the next run sends none that is refused.

It is a cache: a file that is lost, damaged or of another version costs a few refused requests.
"""

import json
import logging
from dataclasses import asdict, fields, replace
from hashlib import blake2b
from typing import Any

from pipeline.config import Config
from pipeline.config.providers import PROVIDERS
from pipeline.llm.protocol.form import LIMITS, MODES, SEEDS, RequestForm, first_form
from pipeline.llm.protocol.room import MAX_CEILING
from pipeline.system.atomic import make_private, write
from pipeline.system.clock import Clock
from pipeline.tasks.prompt import Task

log = logging.getLogger(__name__)

FILE = "forms.json"
VERSION = 1

KEPT_SECONDS = 30 * 86_400
"""A form is remembered for so long: endpoints learn, and one that now takes a stricter form is asked for it again."""

MAX_ENTRIES = 100


class FormMemory:
    """The forms that have brought replies, by endpoint and model, in one file of the state directory."""

    def __init__(self, config: Config, task: Task, clock: Clock) -> None:
        model = config.model
        self._path, self._clock = config.state.dir / FILE, clock
        url = model.base_url or PROVIDERS[model.provider].base_url
        # A server that is started for one run is as it is; a rehearsal's faults are made up.
        place, _, query = (url or "").partition("?")
        self._endpoint = None if url is None or model.provider == "simulate" else f"{place} {model.name}"
        # What was found out holds for what was asked: other wishes, or another schema, may fare otherwise.
        asked = model.model_dump_json(
            include={
                "temperature",
                "top_p",
                "seed",
                "structured_output",
                "logprobs",
                "reasoning_effort",
                "parameters",
            }
        )
        explicit = sorted(model.model_fields_set & {"temperature", "max_tokens"})
        # The query may hold a key, which must be in no file: it is only in the hash.
        text = json.dumps([asked, explicit, task.schema, query], ensure_ascii=False)
        self._asked = blake2b(text.encode(), digest_size=8).hexdigest()
        self._max_tokens = model.max_tokens
        self._known: RequestForm | None = first_form(model)  # which needs no file

    def recall(self) -> RequestForm | None:
        """Return the form that this endpoint took last, for this model and these settings; None if none is known."""
        if self._endpoint is None:
            return None
        entry = self._entries().get(self._endpoint)
        if not isinstance(entry, dict) or entry.get("asked") != self._asked:
            return None
        at, form = entry.get("at"), self._form(entry.get("form"))
        if not isinstance(at, int | float) or not 0 <= self._clock.wall() - at < KEPT_SECONDS:
            return None
        self._known = form or self._known
        return form

    def keep(self, form: RequestForm) -> None:
        """Remember *form*; a disk that cannot take it costs no run."""
        if self._endpoint is None or form == self._known:
            return
        self._known = form
        # The configured ceiling is the config's to tell, and may be another one next time.
        kept = replace(form, ceiling=form.ceiling if form.ceiling > self._max_tokens else 0)
        entry = {"asked": self._asked, "at": int(self._clock.wall()), "form": asdict(kept)}
        others = [item for item in self._entries().items() if item[0] != self._endpoint]
        entries = {**dict(others[-MAX_ENTRIES:]), self._endpoint: entry}
        try:
            make_private(self._path.parent)
            write(self._path, json.dumps({"version": VERSION, "forms": entries}, indent=1).encode())
        except OSError as error:
            log.warning(
                "%s cannot be written: %s; the next run finds out again what the endpoint takes",
                self._path,
                error,
            )

    def _entries(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_bytes())
            entries = found["forms"] if found["version"] == VERSION else None
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            entries = None
        if isinstance(entries, dict):
            return entries
        log.warning("%s is damaged or of another version; it is not used, and written anew", self._path)
        return {}

    def _form(self, found: Any) -> RequestForm | None:
        """Return the form in an entry; None if it is none."""
        if not isinstance(found, dict) or set(found) != {each.name for each in fields(RequestForm)}:
            return None
        form = RequestForm(**found)
        return replace(form, ceiling=max(form.ceiling, self._max_tokens)) if _is_sound(form) else None


def _is_sound(form: RequestForm) -> bool:
    flags = (form.logprobs, form.temperature, form.strict)
    return (
        form.mode in MODES
        and form.limit in (*LIMITS, None)
        and form.seed in (*SEEDS, None)
        and isinstance(form.ceiling, int)
        and 0 <= form.ceiling <= MAX_CEILING
        and isinstance(form.effort, str | None)
        and all(isinstance(flag, bool) for flag in flags)
    )

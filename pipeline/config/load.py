"""Load a YAML file into a checked Config, or report everything that is wrong with it at once."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config.document import Node, parse_document
from pipeline.config.draft import Draft
from pipeline.config.environment import Filler, Substitution, fill
from pipeline.config.files import read_text
from pipeline.config.given import Overrides, node_of
from pipeline.config.models import Config
from pipeline.config.paths import marked
from pipeline.config.problems import escaped
from pipeline.errors import PipelineError, UsageError

GIVEN = "config"
"""What errors call a config that is given as a mapping."""


def load_config(
    path: str | Path | Mapping[str, Any],
    *,
    overrides: Overrides = (),
    provider: str | None = None,
    env: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Config:
    """Read and check a config.

    Args:
        path: The YAML file; relative paths in it are relative to its folder. Or the config itself, as a mapping; relative
            paths in it are relative to the working directory.
        overrides: `section.key=VALUE` each, which replaces the file's value; VALUE is a YAML scalar, `[...]` or
            `{...}`. Or a mapping of such keys to values.
        provider: Replaces `model.provider`; if it differs, the keys that belong to the file's endpoint
            (base_url, api_key_env, api_key_file, headers, price) are dropped.
        env: Values for `${NAME}`; by default the process's environment.
        now: Time for `${now:...}`; by default the local time.

    Raises:
        ConfigError: If anything is wrong; it lists every problem and never holds a secret.
        UsageError: The same, if only *overrides* or *provider* are wrong and the file is sound.
        NoInputError: If the file does not exist, is a directory or cannot be read.
    """
    moment = datetime.now().astimezone() if now is None else now
    draft = _drafted(
        path, overrides, provider, partial(fill, env=os.environ if env is None else env, now=moment)
    )
    place = GIVEN if isinstance(path, Mapping) else path
    full = Path(os.path.normpath(Path(place).absolute()))
    return _loaded(
        draft,
        full,
        env,
        moment,
        ("CONFIG" if isinstance(path, Mapping) else str(full), *_typed(overrides, provider)),
    )


def _loaded(
    draft: "Draft", path: Path, env: Mapping[str, str] | None, now: datetime, words: tuple[str, ...]
) -> Config:
    known = os.environ if env is None else env
    dates: list[str] = []

    def filler(text: str) -> str:
        if "${now:" in text:
            dates[:] = ["--date", now.isoformat(timespec="seconds")]
        return fill(text, known, now)

    config = _separate_rehearsal(draft.checked(path, filler, known))
    config.remember(_Origin(draft.root, path, env, now, words), (*words, *dates))
    return config


def _typed(overrides: Overrides, provider: str | None) -> Iterator[str]:
    """Yield the options by which the command line makes the same changes."""
    if provider is not None:
        yield from ("--provider", provider)
    if isinstance(overrides, Mapping):
        overrides = [f"{name}={json.dumps(value, default=str)}" for name, value in overrides.items()]
    for override in [overrides] if isinstance(overrides, str) else overrides:
        yield from ("--set", override)


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a config was made of, so that one with other settings can be made; no part of what the config says."""

    root: Node = field(compare=False)
    path: Path = field(compare=False)
    env: Mapping[str, str] | None = field(compare=False)
    now: datetime = field(compare=False)
    words: tuple[str, ...] = field(compare=False)

    def changed(self, overrides: Overrides, provider: str | None) -> Config:
        """Return the config with other settings, checked anew; see `Config.with_`."""
        filler = partial(fill, env=os.environ if self.env is None else self.env, now=self.now)
        draft = _changed(Draft(self.root, []), overrides, provider, filler)
        return _loaded(draft, self.path, self.env, self.now, (*self.words, *_typed(overrides, provider)))


def named_provider(path: str | Path, overrides: Overrides = (), provider: str | None = None) -> str | None:
    """Return the provider that a config names, even one that is wrong elsewhere; None if that cannot be told."""
    if provider is not None:
        return provider
    filler = partial(fill, env=os.environ, now=datetime.now().astimezone())
    try:
        node, there = _drafted(path, overrides, None, filler).root.at(("model", "provider"))
    except PipelineError:
        return None
    named = Substitution(filler).apply(node, ()) if there else None
    return named if isinstance(named, str) else None


def _drafted(
    path: str | Path | Mapping[str, Any], overrides: Overrides, provider: str | None, filler: Filler
) -> "Draft":
    """Read a config and apply changes to it."""
    found = (
        node_of(path, GIVEN)
        if isinstance(path, Mapping)
        else parse_document(read_text(path), escaped(str(path)))
    )
    return _changed(Draft(*found), overrides, provider, filler)


def _changed(draft: "Draft", overrides: Overrides, provider: str | None, filler: Filler) -> "Draft":
    """Apply the changes of the command line, or those that Python code makes, to *draft*."""
    if provider is not None:
        draft.switch_provider(provider, filler)
    if isinstance(overrides, Mapping):
        for name, value in overrides.items():
            draft.set(name, value)
        return draft
    listed = [overrides] if isinstance(overrides, str) else overrides
    if not isinstance(listed, Sequence) or not all(isinstance(each, str) for each in listed):
        raise UsageError('overrides: are no settings; write a dict such as {"limits.max_concurrency": 8}')
    for override in listed:
        draft.override(override)
    return draft


def _separate_rehearsal(config: Config) -> Config:
    """Give a rehearsal an output and a state of its own, so that the real output and bills stay untouched."""
    if config.model.provider != "simulate":
        return config
    separate = marked(config.output.path, "simulated")
    return config.model_copy(
        update={
            "output": config.output.model_copy(update={"path": separate}),
            "state": config.state.model_copy(update={"dir": config.state.dir / "simulated"}),
        }
    )

"""Load a YAML file into a checked Config, or report everything that is wrong with it at once."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from pipeline.config.answers import wrong_answers
from pipeline.config.document import Node, Problem, Scalar, parse_document, parse_value
from pipeline.config.endpoint import OF_ONE_ENDPOINT
from pipeline.config.environment import Filler, Substitution, fill, values_in
from pipeline.config.file import read_text
from pipeline.config.labels_file import labels_of
from pipeline.config.models import Config
from pipeline.config.paths import default_state_folder, marked
from pipeline.config.problems import escaped, guessed_labels, headers, lines, refusals, secrets_written_out
from pipeline.errors import ConfigError, PipelineError, UsageError


def load_config(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    provider: str | None = None,
    env: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Config:
    """Read and check a config file.

    Args:
        path: The YAML file; relative paths in it are relative to its folder.
        overrides: `section.key=VALUE` each, which replaces the file's value; VALUE is a YAML scalar, `[...]` or
            `{...}`.
        provider: Replaces `model.provider`; if it differs, the keys that belong to the file's endpoint
            (base_url, api_key_env, api_key_file, headers, price) are dropped.
        env: Values for `${NAME}`; by default the process's environment.
        now: Time for `${now:...}`; by default the local time.

    Raises:
        ConfigError: If anything is wrong; it lists every problem and never holds a secret.
        UsageError: The same, if only *overrides* or *provider* are wrong and the file is sound.
        NoInputError: If the file does not exist, is a directory or cannot be read.
    """
    env = os.environ if env is None else env
    filler = partial(
        fill,
        env=env,
        now=datetime.now().astimezone() if now is None else now,
    )
    draft = _drafted(path, overrides, provider, filler)
    return _separate_rehearsal(draft.checked(Path(os.path.normpath(Path(path).absolute())), filler, env))


def named_provider(
    path: str | Path, overrides: Sequence[str] = (), provider: str | None = None
) -> str | None:
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


def _drafted(path: str | Path, overrides: Sequence[str], provider: str | None, filler: Filler) -> "_Draft":
    """Read a config file and apply the changes of the command line to it."""
    draft = _Draft(*parse_document(read_text(path), escaped(str(path))))
    if provider is not None:
        draft.switch_provider(provider, filler)
    for override in overrides:
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


@dataclass(slots=True)
class _Draft:
    """A config being loaded: its tree, and the problems found so far.

    Attributes:
        root: The tree, with overrides applied.
        problems: What is wrong with the document.
        misused: What is wrong with the options themselves, in whole sentences.
    """

    root: Node
    problems: list[Problem]
    misused: list[str] = field(default_factory=list)

    def switch_provider(self, name: str, filler: Filler) -> None:
        """Set the provider, and drop the keys that belong to the file's endpoint if it is another one."""
        node, there = self.root.at(("model", "provider"))
        configured = Substitution(filler).apply(node, ()) if there else "oxen"
        for key in OF_ONE_ENDPOINT if name != configured else ():
            self.root = _without(self.root, ("model", key))
        self._put(("model", "provider"), Node(Scalar(name, plain=False), "--provider", 0))

    def override(self, text: str) -> None:
        """Apply one `--set`."""
        name, equals, written = text.partition("=")
        loc = tuple(name.strip().split("."))
        if not equals or not all(loc):
            self.misused.append(
                "--set: is no section.key=VALUE; write for example --set limits.max_concurrency=8"
            )
            return
        try:
            value, problems = parse_value(written, "--set")
        except ConfigError:
            self.misused.append(f"--set: {escaped(name)}: the value is no YAML; put it in quotes as a whole")
            return
        self.problems += [Problem((*loc, *problem.loc), problem.sentence) for problem in problems]
        self._put(loc, value)

    def _put(self, loc: tuple[str, ...], value: Node) -> None:
        try:
            self.root = _with(self.root, loc, value)
        except TypeError:
            key = escaped(".".join(loc))
            self.misused.append(
                f"{value.file}: {key}: there is no mapping to put it in; set the whole value above it"
            )

    def checked(self, path: Path, filler: Filler, env: Mapping[str, str]) -> Config:
        """Build the Config, or raise everything that is wrong with it."""
        labels, unread = labels_of(self.root, path.parent)
        self.problems += unread
        if labels is not None:
            self.root = _with(self.root, ("task", "labels"), labels)
        scanned = [*secrets_written_out(self.root), *guessed_labels(self.root)]
        substitution = Substitution(filler, as_written=[problem.loc for problem in scanned])
        values = substitution.sections(self.root)
        scanned += substitution.problems
        if "path" in values:
            self.problems.append(
                Problem(("path",), "is an unknown key; did you mean input.path or output.path?")
            )
        context = {
            "folder": path.parent,
            "state": default_state_folder(path),
            "filled_in": values_in(headers(self.root), env),
        }
        refused: list[Problem] = []
        try:
            config = Config.model_validate({**values, "path": path}, context=context)
        except ValidationError as error:
            refused = [*refusals(error, self.root), *wrong_answers(self.root)]
        problems = [*self.problems, *scanned, *(each for each in refused if not _is_known(each, scanned))]
        if self.misused or problems:
            in_file = any(self.root.at(problem.loc)[0].line for problem in problems)
            raise (ConfigError if in_file else UsageError)(*self.misused, *lines(problems, self.root))
        return config


def _is_known(problem: Problem, scanned: Sequence[Problem]) -> bool:
    """Return whether *scanned* has a problem at the same location or around it."""
    return any(problem.loc[: len(known.loc)] == known.loc for known in scanned)


def _with(node: Node, loc: tuple[str, ...], value: Node) -> Node:
    if not loc:
        return value
    content = node.content
    if isinstance(content, Scalar) and content.value is None:
        content = {}
    if not isinstance(content, dict):
        raise TypeError
    child = content.get(loc[0], Node({}, value.file, 0))
    return replace(node, content={**content, loc[0]: _with(child, loc[1:], value)})


def _without(node: Node, loc: tuple[str, ...]) -> Node:
    content = node.content
    if not isinstance(content, dict) or loc[0] not in content:
        return node
    others = {key: child for key, child in content.items() if key != loc[0]}
    if len(loc) > 1:
        others = {**content, loc[0]: _without(content[loc[0]], loc[1:])}
    return replace(node, content=others)

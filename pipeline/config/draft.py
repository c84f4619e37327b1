"""A config that is being loaded: a tree to which settings are applied, and everything that is found wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from pipeline.config.answers import wrong_answers
from pipeline.config.document import Node, Problem, Scalar, parse_value
from pipeline.config.endpoint import OF_ONE_ENDPOINT
from pipeline.config.environment import Filler, Substitution, values_in
from pipeline.config.files import labels_of
from pipeline.config.given import node_of
from pipeline.config.models import Config
from pipeline.config.paths import default_state_folder
from pipeline.config.problems import escaped, guessed_labels, headers, lines, refusals, secrets_written_out
from pipeline.errors import ConfigError, UsageError

OPTIONS = {"--set", "--provider", "overrides"}
"""Where settings come from that are not part of the config: as errors name it."""


@dataclass(slots=True)
class Draft:
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
        if name == "local":  # without a key, and without a network
            self.root = _without(self.root, ("escalate",))

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

    def set(self, name: object, value: object) -> None:
        """Apply one setting that Python code makes: a key such as `limits.max_concurrency`, and its value."""
        loc = tuple(name.split(".")) if isinstance(name, str) else ()
        if not loc or not all(loc):
            self.misused.append(
                f'overrides: {escaped(repr(name))} is no section.key; write for example {{"limits.max_concurrency": 8}}'
            )
            return
        node, problems = node_of(value, "overrides", loc)
        self.problems += problems
        self._put(loc, node)

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
            in_file = any(self.root.at(problem.loc)[0].file not in OPTIONS for problem in problems)
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

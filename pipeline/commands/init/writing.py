"""Write the proposed job: a config with comments, and beside its state the schema that editors read."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.init.looking import Looked
from pipeline.commands.init.proposal import Proposal
from pipeline.commands.init.templates import Label
from pipeline.config import json_schema, load_config
from pipeline.config.document import Scalar
from pipeline.config.paths import output_clash, state_clash
from pipeline.config.providers import PROVIDERS
from pipeline.errors import CannotCreateError, DiskError
from pipeline.figures import percent, usd
from pipeline.system.atomic import make_private, replacing

_PLAIN = re.compile(r"(?:\.{1,2}/)*[./]?[A-Za-z][A-Za-z0-9_./ -]*(?<! )")
_UNPRINTABLE = re.compile(
    r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\uffef\U00010000-\U0010ffff]|[\u2028\u2029]"
)
_SUFFIXES = {"csv": ".csv", "json": ".jsonl"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of the job are.

    Attributes:
        config: The config.
        table: The table, as the config names it.
        output: The labelled table.
        state: The folder with the paid answers.
        schema: The JSON schema of configs.
    """

    config: Path
    table: str
    output: Path
    state: Path
    schema: Path

    def of(self, path: Path | str) -> str:
        """Return *path* as the config names it: relative to the config."""
        return Path(os.path.relpath(path, self.config.parent)).as_posix()


def places(looked: Looked, to: Path | None) -> Places:
    """Return where the files of the job for a table go: beside the config, unless that is within the table."""
    table = looked.settings.path
    single = looked.source.single
    stem = _stem(Path(table) if single or Path(table).is_dir() else _fixed_part(Path(table)))
    config = Path(os.path.normpath(Path.cwd() / (to or f"{stem}.yaml")))
    suffix = _SUFFIXES.get(looked.format, ".parquet") if single else ""
    # Named after the config: another one for the same table has an output of its own.
    name = re.sub(r"[^\w-]+", "-", config.stem).strip("-") or stem
    base = config.parent
    while True:
        output, state = base / "out" / f"{name}-labelled{suffix}", base / ".pipeline" / config.stem
        if base == base.parent or not (output_clash(table, output) or state_clash(table, output, state)):
            return Places(config, table, output, state, state.parent / "config.schema.json")
        base = base.parent


def write(looked: Looked, proposal: Proposal, where: Places, *, force: bool) -> None:
    """Write the config and the schema, and check that the config can be loaded.

    Raises:
        CannotCreateError: If there is a config already and it is not to be replaced, or the folder cannot be written.
    """
    ensure_free(where.config, force=force)
    try:
        make_private(where.schema.parent)
        where.config.parent.mkdir(parents=True, exist_ok=True)
        with replacing(where.schema) as temporary:
            temporary.write_text(json.dumps(json_schema(), indent=2) + "\n")
        with replacing(where.config) as temporary:
            temporary.write_text(config_text(looked, proposal, where), encoding="utf-8")
    except PermissionError as error:
        raise CannotCreateError(
            f"{error.filename}: cannot be written; give another place with --to"
        ) from error
    except OSError as error:
        raise DiskError(f"{where.config}: cannot be written ({error}); make room") from error
    load_config(where.config)


def ensure_free(config: Path, *, force: bool) -> None:
    """Make sure that no config is replaced by mistake.

    Raises:
        CannotCreateError: If there is one.
    """
    if os.path.lexists(config) and not force:
        raise CannotCreateError(
            f"{config}: is there already; give another place with --to, or --force to replace it"
        )


def config_text(looked: Looked, proposal: Proposal, where: Places) -> str:
    """Return the config as YAML."""
    schema = where.of(where.schema)
    lines = [
        f"# yaml-language-server: $schema={schema}"
        if _PLAIN.fullmatch(schema)
        else "# (no schema: its path has unusual characters)",
        "# Paths are relative to this file. `pipeline schema` prints every key that may stand here.",
        "",
        *_input(looked, proposal, where),
        "",
        *_task(proposal),
        "",
        *_model(proposal),
        "",
        *_limits(proposal),
        "",
        *_output(looked, where),
    ]
    return "\n".join(lines) + "\n"


def _input(looked: Looked, proposal: Proposal, where: Places) -> Iterator[str]:
    yield "input:"
    yield f"  path: {quoted(where.of(where.table))}"
    if proposal.id is not None:
        yield f"  id: {quoted(proposal.id)}   # names a row in messages and in `explain`"
    csv = looked.settings.csv.model_dump(exclude_unset=True, exclude_defaults=True)
    if looked.format == "csv" and csv:
        yield f"  csv: {{{', '.join(f'{key}: {_value(value)}' for key, value in csv.items())}}}"
    if csv.get("header") is False:
        names = ", ".join(quoted(name) for name in looked.source.schema.names[:6])
        yield f"  # To name the columns: csv: {{header: false, columns: [{names}]}}"


def _task(proposal: Proposal) -> Iterator[str]:
    task, measures = proposal.chosen.task, proposal.measures
    yield "task:"
    how = (
        "any number of labels a row" if task.kind == "multi" else "exactly one label a row; multi: any number"
    )
    yield f"  kind: {task.kind}   # {how}"
    if proposal.chosen.max_labels is not None:
        yield f"  max_labels: {proposal.chosen.max_labels}   # no row of the gold column has more"
    yield f"  instructions: {json_text(task.instructions)}"
    yield "  # What the model reads: {column} stands for the row's cell in that column."
    yield f"  text: {json_text(proposal.template)}"
    yield f"  # 95 of 100 texts have at most {measures.percentile:,} tokens (four bytes each), the longest {measures.longest:,};"
    yield f"  # longer ones are cut: {f'about {percent(measures.cut)} of them' if measures.cut else 'none so far'}."
    yield f"  max_text_tokens: {measures.cut_at}"
    if proposal.chosen.gold is not None:
        yield "  # The right labels, where they are known: `evaluate` compares with them. The model does not read them."
        yield f"  gold: {quoted(proposal.chosen.gold)}"
    yield "  # A label is its name in the output, and a description that the model reads: say what belongs to it."
    yield "  labels:"
    yield from map(_label, task.labels)


def _label(label: Label) -> str:
    if not label.description:
        return f'    - {{name: {quoted(label.name)}, description: ""}}'
    return f"    - name: {quoted(label.name)}\n      description: {quoted(label.description)}"


def _model(proposal: Proposal) -> Iterator[str]:
    model = proposal.model
    provider = PROVIDERS[model.provider]
    yield "model:"
    yield f"  provider: {model.provider}   # oxen, openai, openai-compatible (with base_url), local (the embedded model), simulate"
    if provider.model is None:
        yield f"  name: {quoted(model.name)}"
    else:
        yield f"  # name: {model.name}   # for another provider, whose key is read from OXEN_API_KEY or OPENAI_API_KEY"
    if model.base_url:
        yield f"  base_url: {quoted(model.base_url)}"
        yield "  # price: {input: 0, output: 0}   # US dollars per million tokens; limits.max_cost_usd needs it"
    if provider.key_env:
        yield f"  # The key is read from the variable {provider.key_env}, never from this file."
    yield f"  max_tokens: {model.max_tokens}   # the longest reply"


def _limits(proposal: Proposal) -> Iterator[str]:
    measures = proposal.measures
    capped = proposal.model.base_url is None
    yield "limits:"
    if measures.cost_usd is not None:
        yield f"  # The whole table costs about {usd(measures.cost_usd)} by the list price; `plan` says it more exactly."
    yield f"  {'' if capped else '# '}max_cost_usd: {measures.cap_usd:g}   # the run stops before it costs more; the same command continues it"
    yield "  max_failed: 1%   # more failed rows than this give exit status 1"


def _output(looked: Looked, where: Places) -> Iterator[str]:
    yield "output:"
    yield f"  path: {quoted(where.of(where.output))}   # the table's columns and the new ones: label, label_status, ..."
    if not looked.source.single and looked.format in _SUFFIXES:
        yield f"  format: {_SUFFIXES[looked.format][1:]}"
    yield ""
    yield "state:"
    yield f"  dir: {quoted(where.of(where.state))}   # the paid answers: keep it, and no row is paid for twice"


def quoted(text: str) -> str:
    """Return *text* as a YAML scalar that every tool reads as this text; without quotes where that is safe."""
    if _PLAIN.fullmatch(text) and not Scalar(text, plain=True).is_guessed:
        return text
    return json_text(text)


def json_text(text: str) -> str:
    """Return *text* in double quotes, as JSON and YAML read it."""
    return _UNPRINTABLE.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _value(value: object) -> str:
    return json_text(value) if isinstance(value, str) else json.dumps(value)


def _stem(path: Path) -> str:
    name = Path(os.path.normpath(Path.cwd() / path)).name
    return re.sub(r"[^\w-]+", "-", name.split(".")[0]).strip("-") or "table"


def _fixed_part(pattern: Path) -> Path:
    while re.search(r"[*?\[]", str(pattern)):
        pattern = pattern.parent
    return pattern

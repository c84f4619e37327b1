"""The command `init`: options, questions at a terminal, and what was decided."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import InterruptedRunError, PipelineError
from pipeline.figures import usd

if TYPE_CHECKING:  # `--help` must wait neither for pyarrow nor for pydantic
    from collections.abc import Callable

    from pipeline.commands.init.looking import Looked
    from pipeline.commands.init.proposal import Proposal
    from pipeline.commands.init.wishes import Wishes
    from pipeline.commands.init.writing import Places

Table = Annotated[
    str,
    typer.Argument(metavar="TABLE", help="The table: a file, a folder or a glob, as input.path takes it."),
]
TextColumns = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="COL", help="A column that the model reads. May be given several times."),
]
IdColumn = Annotated[
    str | None, typer.Option("--id", metavar="COL", help="The column that names a row in messages.")
]
LabelsFrom = Annotated[
    str | None,
    typer.Option(
        "--labels-from",
        metavar="COL",
        help="Take the labels from this column, which holds the right ones; `evaluate` compares with it.",
    ),
]
LabelNames = Annotated[
    str | None, typer.Option("--labels", metavar="A,B,C", help="The labels to choose from.")
]
TemplateName = Annotated[
    str | None,
    typer.Option(
        "--template",
        metavar="NAME",
        help="A task with labels and descriptions: sentiment, tickets, moderation, language, intent or topics.",
    ),
]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="FILE", help="Where to write the config. The default is ./<table>.yaml."),
]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Who is asked: oxen, openai, openai-compatible, local or simulate. The default is the one whose key is set, else local.",
    ),
]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="The name of the model.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="The endpoint, for openai-compatible.")
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line of a CSV file names the columns; by default that is found out.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the config if there is one already.")]
Yes = Annotated[bool, typer.Option("--yes", help="Ask no questions at a terminal.")]


def init(  # noqa: PLR0913, PLR0917 - as many as the command has options
    table: Table,
    text: TextColumns = None,
    id_: IdColumn = None,
    labels_from: LabelsFrom = None,
    labels: LabelNames = None,
    template: TemplateName = None,
    to: To = None,
    provider: Provider = None,
    model: Model = None,
    base_url: BaseUrl = None,
    header: Header = None,
    force: Force = False,  # noqa: FBT002 - a command's options are its arguments
    yes: Yes = False,  # noqa: FBT002 - as above
) -> int:
    """Look at a table, and write a config that runs as it stands. Sends nothing."""
    # What only the running command needs is imported here: --help must not wait for it.
    from pipeline.cli.console import print_lines, print_result  # noqa: PLC0415
    from pipeline.commands.init.looking import looked_at  # noqa: PLC0415
    from pipeline.commands.init.proposal import propose  # noqa: PLC0415
    from pipeline.commands.init.wishes import Wishes, split_list  # noqa: PLC0415
    from pipeline.commands.init.writing import ensure_free, places, write  # noqa: PLC0415

    wishes = Wishes(
        tuple(text or ()), id_, labels_from, split_list(labels), template, provider, model, base_url
    )
    wishes.ensure_consistent()
    with looked_at(table, header=header) as looked:
        where = places(looked, to)
        ensure_free(where.config, force=force)
        if not yes and sys.stdin.isatty() and sys.stderr.isatty():
            try:
                wishes = _asked(looked, wishes)
            except typer.Abort:
                raise InterruptedRunError("stopped at a question; nothing was written") from None
        proposal = propose(looked, wishes)
        write(looked, proposal, where, force=force)
        print_lines([*_decisions(looked, proposal, where), "", *_next(proposal, where)])
        print_result(_facts(proposal, where))
    return 0


def _asked(looked: "Looked", wishes: "Wishes") -> "Wishes":
    """Ask what no flag says, each with the answer that is proposed."""
    from pipeline.cli.console import print_lines, print_problems  # noqa: PLC0415
    from pipeline.commands.init.proposal import propose  # noqa: PLC0415
    from pipeline.commands.init.templates import TEMPLATES  # noqa: PLC0415
    from pipeline.commands.init.wishes import split_list, with_labels  # noqa: PLC0415

    names = [each.name for each in looked.columns]
    print_lines([f"{looked.rows:,} rows; columns: {', '.join(names)}"])

    def answered(question: str, proposed: str | None, apply: "Callable[[str], Wishes]") -> "Wishes":
        """Ask until the answer fits the table."""
        while True:
            try:
                found = apply(typer.prompt(question, proposed, err=True))
                found.ensure_consistent()
                propose(looked, found)
            except PipelineError as error:
                print_problems(error.problems)
            else:
                return found

    if not wishes.text:
        text = propose(looked, wishes).text
        listed = ",".join(text)
        wishes = answered(
            "Which columns should the model read?",
            listed,
            lambda said: replace(wishes, text=text if said == listed else split_list(said, names)),
        )
    if not (wishes.labels or wishes.labels_from or wishes.template):
        chosen = propose(looked, wishes).chosen
        wishes = answered(
            f"Labels: a column, a template ({', '.join(TEMPLATES)}), or the labels themselves (a,b,c)",
            chosen.gold or chosen.template,
            lambda said: with_labels(wishes, said, names),
        )
    if not wishes.provider:
        provider = propose(looked, wishes).model.provider
        wishes = answered("Who is asked?", provider, lambda said: _asking(wishes, said.strip()))
    return wishes


def _asking(wishes: "Wishes", provider: str) -> "Wishes":
    """Return the wishes with *provider*, and where it is if only the user knows."""
    url = wishes.base_url
    if provider == "openai-compatible" and not url:
        url = typer.prompt("Where is it? Its URL, such as http://127.0.0.1:8080/v1", err=True)
    return replace(wishes, provider=provider, base_url=url)


def _decisions(looked: "Looked", proposal: "Proposal", where: "Places") -> Iterator[str]:
    from pipeline.commands.init.tasks import names_of  # noqa: PLC0415

    measures, chosen = proposal.measures, proposal.chosen
    yield f"{where.config}: written for {looked.rows:,} rows of {looked.format}"
    if looked.format == "csv":
        csv = looked.settings.csv.model_dump(exclude_unset=True, exclude_defaults=True)
        named = csv.pop("header", True)
        how = "".join(f", {key} {value!r}" for key, value in csv.items())
        first = "names the columns (--no-header)" if named else "is a row of data (--header)"
        yield f"  read      the first line {first}{how}"
    yield f"  text      {', '.join(proposal.text)} (--text COL)"
    yield f"  id        {proposal.id or 'none: no column is short and different in each row'} (--id COL)"
    yield f"  labels    {len(chosen.task.labels):,}, {chosen.task.kind}: {names_of(chosen.task.labels)}"
    yield f"            {chosen.why}"
    yield (
        f"  cut at    {measures.cut_at:,} tokens: 95 of 100 texts have at most {measures.percentile:,}, the longest {measures.longest:,}; "
        f"about {round(measures.cut * looked.rows):,} would be cut (task.max_text_tokens)"
    )
    yield f"  asked     {_who(proposal)} (--provider NAME)"
    cost = "unknown" if measures.cost_usd is None else f"about {usd(measures.cost_usd)} by the list price"
    cost = "nothing" if proposal.model.provider == "local" else cost
    yield f"  cost      {cost}; limits.max_cost_usd is {measures.cap_usd:g}"
    yield f"  output    {where.of(where.output)}, state {where.of(where.state)}"
    yield from (f"note: {note}" for note in proposal.notes)


def _who(proposal: "Proposal") -> str:
    from pipeline.config.providers import PROVIDERS  # noqa: PLC0415

    provider = PROVIDERS[proposal.model.provider]
    if provider.name == "local":
        return "local, the embedded model: no key is needed, and it is good for a first look"
    return f"{provider.name}, {proposal.model.name}"


def _next(proposal: "Proposal", where: "Places") -> Iterator[str]:
    """Yield the commands that come next, to be copied."""
    import shlex  # noqa: PLC0415 - --help must not wait for it

    name, config = _how_we_were_called(), shlex.quote(os.path.relpath(where.config))
    yield "Next:"
    yield f"  {name} check {config}              # is everything there? sends nothing"
    yield f"  {name} plan {config}               # requests, tokens, dollars, time; sends nothing"
    yield f"  {name} run {config} --limit 100    # the first 100 rows, into a file of their own"
    if proposal.chosen.gold is not None:
        yield f"  {name} evaluate {config}           # how many of them are right"


def _facts(proposal: "Proposal", where: "Places") -> dict[str, object]:
    return {
        "status": "written",
        "config": str(where.config),
        "id": proposal.id,
        "text": list(proposal.text),
        "kind": proposal.chosen.task.kind,
        "labels": len(proposal.chosen.task.labels),
        "gold": proposal.chosen.gold,
        "max_text_tokens": proposal.measures.cut_at,
        "provider": proposal.model.provider,
    }


def _how_we_were_called() -> str:
    """Return the words before `init`, so that the printed lines can be copied as they stand."""
    import shlex  # noqa: PLC0415 - as above

    words = sys.orig_argv
    before = words[: words.index("init")] if "init" in words else []
    if (
        len(before) > 1 and Path(before[-1]).name == "pipeline"
    ):  # the script, which names its interpreter itself
        script = before[-1]
        return "pipeline" if script == shutil.which("pipeline") else shlex.quote(script)
    return shlex.join(before or ["python", "-m", "pipeline"])

"""What the student is worth in real runs on a real table, a column of it standing for the model behind a server.

    python tests/benchmarks/student_journey.py TABLE --config configs/tags.yaml --answers 1600 --seeds 10
    python tests/benchmarks/student_journey.py TABLE ... --every-label --answers 5000 --audits 400
    python tests/benchmarks/student_journey.py TABLE ... --noise 0.1

Each seed is `pipeline run` over the whole table, of which other rows have their answers in the ledger already; all requests
go to a server on this machine. TABLE has the columns of the config's text and the right labels in `--label`.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pipeline.commands.answered import readable
from pipeline.config import load_config
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, last_line
from tests.judged import Reply, answer_rows


class Night(NamedTuple):
    """What one run has come to; shares are of the rows that had no answer."""

    certified: float
    saved: float
    wrong: float
    requests: int
    word: str


def job_of(folder: Path, url: str, frame: pl.DataFrame, given: argparse.Namespace) -> JobFiles:
    """Return the job that labels *frame* as the config does, with a student."""
    config = load_config(given.config)
    task = config.task.model_dump(mode="json", exclude_unset=True, exclude={"gold"})
    if given.every_label:
        task["labels"] = [{"name": name} for name in sorted(set(frame[given.label]))]
    job = JobFiles(folder, url)
    job.table(frame)
    job.settings["task"] = task
    student = {"target": given.target, "delta": given.delta, "audits": given.audits, "answers": given.answers}
    return job.set(student=student, input={"id": config.input.id})


def night(frame: pl.DataFrame, seed: int, given: argparse.Namespace) -> Night:
    """Run the job once; of the rows *seed* decides which are answered, and what the model gets wrong."""
    random = np.random.default_rng(seed)
    names = sorted(set(frame[given.label]))
    said = [
        str(random.choice(names)) if random.random() < given.noise else name for name in frame[given.label]
    ]
    known = set(random.permutation(len(said))[: given.answers].tolist())
    by_text: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory(prefix="student-journey-") as folder,
        FaultServer(label_for=by_text.__getitem__) as server,
    ):
        job = job_of(Path(folder), server.base_url, frame, given)
        with readable(job.config()) as made:
            for chunk in read_chunks(made.source, made.config.task.columns, all_spans(made.source)):
                texts = made.task.prompts(chunk.columns).texts
                by_text.update(
                    (text, said[chunk.span.start + row]) for row, text in enumerate(texts) if text is not None
                )
        answer_rows(job, [Reply(name) if row in known else None for row, name in enumerate(said)])
        done = command("run", str(job.config_file()), "--quiet")
        if done.returncode:
            sys.exit(done.stderr)
        nights = json.loads(next(Path(folder).glob("state/decisions/student-*.json")).read_text())
        return _outcome(nights["decision"]["nights"][-1], job.labelled(), said, last_line(done))


def _outcome(found: dict[str, Any], labelled: pl.DataFrame, said: list[str], line: dict[str, Any]) -> Night:
    own = (labelled["label_source"] == "student").to_list()
    rows = [
        (label, model) for label, model, is_own in zip(labelled["label"], said, own, strict=True) if is_own
    ]
    wrong = sum(label != model for label, model in rows) / max(1, len(rows))
    if found["status"] != "certified":
        return Night(0.0, 0.0, wrong, line["requests"], found["why"].split(",")[1].strip()[:60])
    new = found["unanswered"]
    return Night(found["prompts"] / new, found["local"] / new, wrong, line["requests"], "certified")


def main() -> None:
    """Print what all seeds have come to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--config", type=Path, default=Path("configs/tags.yaml"))
    parser.add_argument("--label", default="section")
    parser.add_argument("--every-label", action="store_true", help="those of the table, not of the config")
    parser.add_argument("--answers", type=int, default=1_600)
    parser.add_argument("--audits", type=int, default=600)
    parser.add_argument("--target", type=float, default=0.95)
    parser.add_argument("--delta", type=float, default=0.05)
    parser.add_argument("--noise", type=float, default=0.0, help="share of the answers that are random")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    frame = pl.read_parquet(given.table).filter(pl.col(given.label).is_not_null())
    if not given.every_label:
        names = [label.name for label in load_config(given.config).task.labels]
        frame = frame.filter(pl.col(given.label).is_in(names))
    nights = []
    for seed in range(given.seeds):
        nights.append(night(frame, seed, given))
        print(seed, nights[-1], flush=True)
    print(
        f"{len(frame):,} rows, {given.answers:,} answers, {given.audits:,} audits, target {given.target}, noise {given.noise}: "
        f"certified {np.mean([each.certified for each in nights]):.3f}, saved {np.mean([each.saved for each in nights]):.3f}, "
        f"broken {sum(each.wrong > 1 - given.target for each in nights)} of {len(nights)}, "
        f"{dict(Counter(each.word for each in nights))}"
    )


if __name__ == "__main__":
    main()

"""Rows that are probably mislabelled, as the report shows them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.commands.answered import answered_rows
from pipeline.commands.report.rows import CHARACTERS
from pipeline.commands.suspects import Contradiction, Search, Seen, Suspicion
from pipeline.errors import PipelineError
from pipeline.job.job import Job
from pipeline.job.prepare import brought_in

MOST = 100
"""Rows that a person may read in half an hour."""


def suspects(job: Job, folder: Path) -> dict[str, Any]:
    """Return the rows of *job* that are probably mislabelled, and why there are none; copies of the input may lie in *folder*."""
    try:
        job = brought_in(job, folder)
        search, column = Search(job, MOST), job.config.input.id
        for part in answered_rows(job, [column] if column else []):
            search.add(part)
        found = search.found()
    except PipelineError as error:
        return {"rows": [], "pairs": [], "looked_at": 0, "note": f"no suspects can be shown: {error}"}
    return {
        "rows": [_row(each) for each in found.rows],
        "pairs": [_pair(each) for each in found.pairs],
        "looked_at": found.looked_at,
        "note": found.note,
    }


def _row(found: Suspicion) -> dict[str, Any]:
    near = found.near and _seen(found.near)
    return {**_seen(found.seen), "proposed": found.proposed, "score": found.score, "near": near}


def _pair(found: Contradiction) -> dict[str, Any]:
    return {"one": _seen(found.one), "other": _seen(found.other), "alike": found.alike}


def _seen(row: Seen) -> dict[str, Any]:
    return {**asdict(row), "text": row.text[:CHARACTERS]}

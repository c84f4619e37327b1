"""Everything goes wrong at once: a hostile server, and a SIGKILL every few seconds. Rows come out right."""

import os
import time
from pathlib import Path
from random import Random

import pytest

from pipeline.config.simulate.latency import Lognormal
from pipeline.ledger.writer import MAX_GATHERED
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, right_label, texts
from tests.reliability.campaign import Campaign, soak_seeds, table_of
from tests.reliability.checker import Record, Witness
from tests.reliability.launcher import Launcher
from tests.reliability.reader import Reader

TRANSIENT = (
    "http_408", "http_409", "http_500", "http_502", "html_502", "drop", "reset_mid_body", "fin_mid_body",
    "html_200", "empty_200", "http_204", "error_200", "wrong_json", "cut_json", "non_utf8", "nan_json",
    "no_choices", "null_content", "duplicate_keys", "big_header",
)  # fmt: skip
UNUSUAL = (
    "no_content_length",
    "stale_keepalive",
    "bom",
    "list_content",
    "code_fence",
    "wrong_case",
    "quoted",
)
FINAL = ("prose", "unknown_label", "homoglyph", "two_labels", "length", "content_filter", "refusal")
RARE = ("hang", "headers_only", "drip", "rate_limit_ms", "overloaded")
"""All workers wait after the last two, so that many of them would make a long test longer."""

IN_FLIGHT = 64
LONGEST_SECONDS = 60
"""Of one execution: far more than it needs."""

COMMIT = 2 * MAX_GATHERED
"""One set that is written and one that gathers: what a kill may cost on a machine whose disk is busy."""


def faults(share: float) -> dict[str, float]:
    """Faults of all kinds: so many of the transient ones, and a few of the others."""
    return {
        **dict.fromkeys(TRANSIENT, share / len(TRANSIENT)),
        **dict.fromkeys(UNUSUAL, 0.01),
        **dict.fromkeys(FINAL, 0.001),
        **dict.fromkeys(RARE, 0.0001),
    }


def everything(
    folder: Path, launcher: Launcher, chance: Random, rows: int, answers: tuple[int, int], commit: int
) -> Witness:
    """Label so many rows under all faults, killed after so many answers again and again; return the witness."""
    settings = FaultServerSettings(
        seed=chance.randrange(1 << 30), latency=Lognormal(0.01, 0.5), faults=faults(0.1)
    )
    with FaultServer(settings, label_for=right_label) as server:
        job = JobFiles(folder, server.base_url)
        job.set(limits={"max_concurrency": IN_FLIGHT, "request_timeout": 5, "max_failed": "5%"})
        table_of([*texts(rows)]).write_parquet(folder / "in.parquet", row_group_size=5_000)
        found = Campaign(job, server, launcher, Witness(job, lambda: server.entries, commit=commit))
        with Reader(job.output, pause_seconds=0.2) as reader:
            while run_for(found, len(server.entries) + chance.randint(*answers)):
                pass
        assert reader.failures == []
        broken = found.witness.verdict()
        assert broken == [], "\n".join(broken)
        return found.witness


def run_for(found: Campaign, answers: int) -> bool:
    """Run until the server has billed so many answers, or nothing comes any more; returns whether it had to be killed."""
    execution, deadline = found.start(), time.monotonic() + LONGEST_SECONDS
    while len(found.server.entries) < answers and time.monotonic() < deadline and not execution.over:
        time.sleep(0.02)
    return found.note(execution.kill())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_three_thousand_rows_survive_everything_at_once(
    tmp_path: Path, launcher: Launcher, record_property: Record, seed: int
) -> None:
    witness = everything(tmp_path, launcher, Random(seed), 3_000, (300, 1_000), COMMIT // 4)
    witness.record(record_property, "SIGKILL under all server faults")
    assert witness.kills > 1


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak_seeds(int(os.environ.get("SOAK_EVERYTHING", "20"))))
def test_a_hundred_thousand_rows_survive_everything_at_once(
    tmp_path: Path, launcher: Launcher, record_property: Record, seed: int
) -> None:
    witness = everything(tmp_path, launcher, Random(seed), 100_000, (3_000, 20_000), COMMIT)
    witness.record(record_property, "SIGKILL under all server faults")
    assert witness.kills > 1

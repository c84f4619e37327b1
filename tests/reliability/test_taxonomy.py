"""SIGKILL between the audit of carried labels and its certificate: the coins are those that fell before, and so is all else."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.student.store import FORCED, Night, StudentStore
from pipeline.system.lock import Lock
from tests.behaviour.test_taxonomy import CARRY, ROWS, Change, old_label, table
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, environment, last_line
from tests.minds import Model

pytestmark = pytest.mark.slow

KILLED = """
import os, signal, sys
import pipeline.engine.carrying.attempt as carrying
from pipeline.cli.app import main
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
{patch}
main(sys.argv[1:])
"""

BEFORE_THE_CERTIFICATE = "carrying.carried = kill"
AMID_THE_AUDIT = """
asks = carrying.Carrying._ask
async def some(self, prompts):
    await asks(self, carrying.Prompts(prompts.keys[:200], prompts.texts[:200], prompts.truncated[:200]))
    kill()
carrying.Carrying._ask = some
"""


@pytest.fixture
def model() -> Model:
    return Model(old_label)


@pytest.fixture
def server(model: Model) -> Iterator[FaultServer]:
    with FaultServer(label_for=model) as simulator:
        yield simulator


@pytest.fixture
def change(tmp_path: Path, server: FaultServer, model: Model) -> Change:
    change = Change(JobFiles(tmp_path, server.base_url), server, model, list(table(ROWS)))
    model.label = lambda text: "games" if old_label(text) == "mail" else old_label(text)
    return change.labels("games", "sound", "graphics", "science")


def killed(change: Change, patch: str) -> None:
    words = ["run", str(change.job.config_file()), "--from", str(change.old)]
    ran = subprocess.run(
        [sys.executable, "-c", KILLED.format(patch=patch), *words], env=environment(), capture_output=True, check=False
    )  # fmt: skip
    assert ran.returncode == -9, ran.stderr.decode()


def night_of(change: Change) -> tuple[Night, dict[bytes, int]]:
    """The night that is on, and the kinds of its proposals."""
    path = next(change.job.folder.glob("state/decisions/carried-*.sqlite"))
    with sqlite3.connect(path) as file:
        (run,) = file.execute("SELECT run FROM night ORDER BY outcome IS NOT NULL, rowid").fetchone()
    store = StudentStore(path)
    night = store.night(run)
    assert night is not None
    found = {each.key: each.kind for each in store.proposals(run)}
    store.close()
    return night, found


@pytest.mark.parametrize("patch", [AMID_THE_AUDIT, BEFORE_THE_CERTIFICATE], ids=["amid", "after"])
@pytest.mark.parametrize("is_told", [True, False], ids=["with the option", "without it"])
def test_a_run_that_is_killed_in_its_audit_has_the_same_coins_and_the_same_certificate(
    change: Change, server: FaultServer, patch: str, *, is_told: bool
) -> None:
    killed(change, patch)
    night, kinds = night_of(change)
    assert night.outcome is None
    coins = {key for key, kind in kinds.items() if kind == FORCED or night.audits(key)}
    assert sum(kind == FORCED for kind in kinds.values()) == ROWS // 5
    before = len(change.asked)
    shutil.copytree(change.job.folder / "state", change.job.folder / "as it was")

    again = ["--from", str(change.old)] if is_told else []  # what is on the disk is enough
    assert change.job.run(*again).returncode == 0
    first, labelled = change.decision, change.job.labelled()
    after, _ = night_of(change)
    assert (after.secret, after.facts) == (night.secret, night.facts)
    assert len(change.asked) == len(set(change.asked)) == len(coins) >= before
    assert (first["status"], first["left"]) == ("certified", ROWS - len(coins))
    assert last_line(change.job.run())["again"]

    shutil.rmtree(change.job.folder / "state")
    shutil.move(change.job.folder / "as it was", change.job.folder / "state")
    assert change.job.run(*again).returncode == 0
    assert change.decision == first
    assert change.job.labelled()["label"].equals(labelled["label"])
    assert set(asked(server)) == set(table(ROWS))


def test_a_run_that_was_killed_is_gone_on_with_by_the_next_night_though_the_table_has_grown(
    change: Change,
) -> None:
    killed(change, AMID_THE_AUDIT)
    night, kinds = night_of(change)
    coins = {key for key, kind in kinds.items() if kind == FORCED or night.audits(key)}
    new = list(table(30, start=5_000))
    change.job.table([*table(ROWS), *new])
    assert change.job.run().returncode == 0  # cron knows of no --from
    after, _ = night_of(change)
    assert (after.secret, after.facts) == (night.secret, night.facts)
    assert after.run != night.run
    assert len(change.asked) == len(set(change.asked)) == len(coins) + len(new)
    assert change.sources == {"carried": ROWS - len(coins), "model": len(coins) + len(new)}


def test_what_another_run_is_about_to_decide_is_not_taken_from_it(change: Change) -> None:
    change.run()
    change.job.table([*table(ROWS), *table(ROWS, start=5_000)])
    change.job.settings, settings = json.loads(change.old.read_text()), change.job.settings
    assert change.job.run().returncode == 0  # so that the new rows have old labels, too
    change.job.settings = settings
    killed(change, AMID_THE_AUDIT)
    file = next(change.job.folder.glob("state/decisions/carried-*.sqlite"))
    before = file.read_bytes()
    with Lock(file.with_suffix(".lock"), file, "state.dir").held():  # as if it went on
        assert (
            change.job.set(output={"path": str(change.job.folder / "other.parquet")}).run().returncode == 75
        )
    assert file.read_bytes() == before
    assert change.job.run().returncode == 0


def test_several_processes_do_not_ask_what_a_killed_run_was_about_to_carry(change: Change) -> None:
    killed(change, AMID_THE_AUDIT)
    before = len(asked(change.server))
    done = change.job.run("--workers", "2")
    assert done.returncode == 78
    assert "leave these out" in done.stderr
    assert len(asked(change.server)) == before


def test_rows_that_are_gone_by_the_next_night_do_not_count_as_changed(change: Change) -> None:
    killed(change, AMID_THE_AUDIT)
    change.job.table(list(table(ROWS))[: ROWS - 300])  # none of these was asked about yet
    assert change.job.run().returncode == 0
    assert change.decision["status"] == "certified"
    assert change.decision["differ"] == 0
    assert change.sources["carried"] == change.decision["left"] > 0


def test_rows_that_are_labelled_to_try_something_leave_a_killed_run_its_coins(change: Change) -> None:
    killed(change, AMID_THE_AUDIT)
    night, _ = night_of(change)
    assert change.job.run("--limit", "20").returncode == 0
    assert night_of(change)[0] == night


def coins_of(night: Night, kinds: dict[bytes, int], share: float | None = None) -> set[bytes]:
    """What a killed run was about to ask."""
    least = float(night.facts["share"]) if share is None else share
    return {key for key, kind in kinds.items() if kind == FORCED or night.coin(key) < least}


def test_another_output_goes_on_with_the_coins_of_a_killed_run_and_leaves_it_nothing_to_ask(
    change: Change,
) -> None:
    killed(change, AMID_THE_AUDIT)
    night, kinds = night_of(change)
    change.job.set(output={"path": "out/other.parquet"})
    change.run()
    after, _ = night_of(change)
    assert (after.secret, after.facts) == (night.secret, night.facts)
    assert len(change.asked) == len(set(change.asked)) == len(coins_of(night, kinds))
    labels = change.job.labelled()["label"]
    change.job.set(output={"path": "out/labelled.parquet"})
    change.run()
    assert len(change.asked) == len(coins_of(night, kinds))
    assert change.job.labelled()["label"].equals(labels)


def test_another_table_decides_about_its_own_rows_and_the_others_keep_their_coins(change: Change) -> None:
    killed(change, AMID_THE_AUDIT)
    night, kinds = night_of(change)
    half = list(table(ROWS))[ROWS // 2 :]
    change.job.set(output={"path": "out/other.parquet"}).table(half, name="half.parquet")
    change.run()
    asked_by_half = set(change.asked) & set(half)
    assert change.decision["status"] == "certified"
    assert change.sources["carried"] == len(half) - len(asked_by_half) > 0
    left, left_kinds = night_of(change)
    assert (left.run, left.secret, left.outcome) == (night.run, night.secret, None)
    assert left_kinds.items() <= kinds.items()
    assert 0 < len(left_kinds) <= ROWS // 2

    change.job.set(output={"path": "out/labelled.parquet"}, input={"path": "in.parquet"})
    assert change.job.run().returncode == 0
    assert len(change.asked) == len(set(change.asked))
    assert set(change.asked) & set(half) == asked_by_half
    after = {each["run"]: each for each in nights_told(change)}
    assert len(after) == 2
    assert all(each["status"] == "certified" for each in after.values())


def nights_told(change: Change) -> list[dict[str, Any]]:
    path = next(change.job.folder.glob("state/decisions/carried-*.json"))
    found: list[dict[str, Any]] = json.loads(path.read_text())["decision"]["nights"]
    return found


def test_prompts_that_came_since_join_a_killed_run_under_its_secret_and_no_coin_falls_twice(
    change: Change,
) -> None:
    killed(change, AMID_THE_AUDIT)
    night, kinds = night_of(change)
    before = set(change.asked)
    change.job.table([*table(ROWS), *table(ROWS, start=6_000)])
    change.job.settings, settings = json.loads(change.old.read_text()), change.job.settings
    change.job.set(input={"path": "in.parquet"})
    change.model.label, label = old_label, change.model.label
    assert change.job.run().returncode == 0  # so that the new rows have old labels, too
    change.job.settings, change.model.label = settings, label
    change.requests = len(asked(change.server))

    killed(change, AMID_THE_AUDIT)
    after, joined = night_of(change)
    assert after.secret == night.secret
    assert joined.items() >= kinds.items()
    assert len(joined) == 2 * ROWS
    assert after.facts["share"] == pytest.approx(float(night.facts["share"]) / 2)
    change.run()
    # Whoever was asked by a larger share is no part of the sample, is not asked again, and carries nothing.
    sample = coins_of(after, joined)
    found = change.decision
    assert found["status"] == "certified"
    assert len(before) + len(change.asked) == len(before | set(change.asked))
    assert len(before | set(change.asked)) == found["audited"] + 2 * ROWS // 5 >= len(sample)
    assert change.sources == {"carried": found["left"], "model": 2 * ROWS - found["left"]}
    assert found["rows"] == found["left"]


def test_a_bound_that_was_changed_once_answers_are_in_is_refused_and_the_old_one_still_holds(
    change: Change,
) -> None:
    killed(change, AMID_THE_AUDIT)
    night, kinds = night_of(change)
    for name, laxer, was in (("max_missed", "50%", "5 %"), ("delta", 0.5, "0.05"), ("audits", 10, "120")):
        change.job.set(carry={**CARRY, name: laxer})
        for again in (["--from", str(change.old)], []):
            done = change.job.run(*again)
            assert done.returncode == 78
            assert f"carry.{name}: is" in done.stderr
            assert f"set it to {was} until then" in done.stderr
        change.job.settings["carry"].pop("delta", None)
    assert len(change.asked) == 200
    assert night_of(change) == (night, kinds)
    change.job.set(carry=CARRY)
    change.run()
    assert len(change.asked) == len(coins_of(night, kinds))


def test_a_bound_that_was_changed_before_any_answer_holds(change: Change) -> None:
    killed(change, "carrying.Carrying._ask = kill")
    night, _ = night_of(change)
    change.job.set(carry={"max_missed": "20%", "audits": 60})
    change.run()
    after, _ = night_of(change)
    assert float(after.facts["share"]) == pytest.approx(float(night.facts["share"]) / 2)
    assert change.decision["max_missed"] == "20 %"
    assert len(change.asked) < 240 + 120


def test_labels_that_are_called_otherwise_once_answers_are_in_are_refused_but_what_was_begun_can_end(
    change: Change,
) -> None:
    killed(change, AMID_THE_AUDIT)
    night, kinds = night_of(change)
    change.job.settings["task"]["labels"][0]["was"] = "mail"  # no part of the question
    done = change.job.run("--from", str(change.old))
    assert done.returncode == 78
    assert "first run again without --from" in done.stderr
    assert len(change.asked) == 200
    assert change.job.run().returncode == 0
    assert len(change.asked) == len(coins_of(night, kinds))


def test_labels_that_are_called_otherwise_before_any_answer_are_proposed_anew(change: Change) -> None:
    killed(change, "carrying.Carrying._ask = kill")
    change.job.settings["task"]["labels"][0]["was"] = "mail"
    change.run()
    assert change.decision["forced"] == 0
    assert change.decision["changes"] == ["merge: games, mail → games"]


def planned(change: Change) -> dict[str, Any]:
    done = command("plan", str(change.job.config_file()))
    assert done.returncode == 0, done.stderr
    return last_line(done)


@pytest.mark.parametrize(
    "rows",
    [list(table(ROWS)), list(table(ROWS + 40)), list(table(ROWS))[300:]],
    ids=["as it was", "grown", "shrunk"],
)
def test_plan_says_what_a_run_sends_that_goes_on_where_another_was_killed(
    change: Change, rows: list[str]
) -> None:
    killed(change, AMID_THE_AUDIT)
    change.job.table(rows)
    before = night_of(change)
    found = planned(change)
    assert night_of(change) == before
    assert 0 < found["requests"] < ROWS / 2
    requests = len(change.asked)
    result = last_line(change.job.run())
    assert found["requests"] == result["requests"] == len(change.asked) - requests
    assert found["to_carry"] == result["carried"]
    assert found["prompts"] == len(rows) == found["requests"] + found["to_carry"] + found["answered"]
    after = planned(change)
    assert (after["requests"], after["to_carry"], after["carried"]) == (0, 0, result["carried"])


def test_plan_refuses_a_laxer_bound_like_the_run(change: Change) -> None:
    killed(change, AMID_THE_AUDIT)
    change.job.set(carry={**CARRY, "max_missed": "50%"})
    done = command("plan", str(change.job.config_file()))
    assert done.returncode == 78
    assert "set it to 5 % until then" in done.stderr


def test_plan_waits_for_no_run_that_decides(change: Change) -> None:
    killed(change, AMID_THE_AUDIT)
    with sqlite3.connect(next(change.job.folder.glob("state/decisions/carried-*.sqlite"))) as file:
        file.execute("BEGIN IMMEDIATE")
        file.execute("INSERT INTO proposal VALUES (x'00', '[]', NULL, '', NULL, 0, '', 1)")
        assert planned(change)["to_carry"] > 0
        file.execute("COMMIT")
    assert planned(change)["to_carry"] > 0
    with sqlite3.connect(next(change.job.folder.glob("state/decisions/carried-*.sqlite"))) as file:
        assert file.execute("SELECT count(*) FROM proposal WHERE night = ''").fetchone() == (1,)

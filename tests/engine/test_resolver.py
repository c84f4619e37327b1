"""The desk: no key is asked twice, whoever needs it and whenever."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.engine.resolver import Resolver
from pipeline.ledger import Ledger
from pipeline.outputs.columns import KEY, Answered
from pipeline.records import Answer, Outcome, Prompt, Status
from pipeline.tasks.parse import Parser
from tests.answers import answer, key, prompt, prompts
from tests.jobs import JobFiles


class Model:
    """Stands for the dispatcher: keeps what it is asked, and answers when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Answer | None]] = []
        self.opened = 0

    async def open(self) -> "Model":
        self.opened += 1
        return self

    def ask(self, prompt: Prompt, previous: Answer | None = None) -> None:
        self.asked.append((prompt.key, previous))

    @property
    def keys(self) -> list[bytes]:
        return [key for key, _ in self.asked]


class Office:
    """A desk with its ledger and its model."""

    def __init__(self, ledger: Ledger, desk: Resolver, model: Model) -> None:
        self.ledger, self.desk, self.model = ledger, desk, model

    async def arrive(self, *answers: Answer) -> None:
        for each in answers:
            await self.ledger.append(each)
        await self.ledger.flush()

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.model.asked) < count:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)


@pytest.fixture
def parser(tmp_path: Path) -> Parser:
    job = JobFiles(tmp_path, "http://127.0.0.1:1/v1")
    job.table(["text"])
    return Parser(job.config().task)


@pytest.fixture
async def office(tmp_path: Path, parser: Parser):
    async for each in _office(tmp_path, parser):
        yield each


async def _office(folder: Path, parser: Parser, retry: Sequence[Status] = ()):
    model = Model()
    desk = Resolver(parser, "run-2", retry=retry, dispatcher=model.open)  # type: ignore[arg-type]
    async with Ledger.open(folder, on_durable=desk.durable, on_failure=print) as desk.ledger:
        yield Office(desk.ledger, desk, model)


def meanings(answered: Answered) -> dict[bytes, Outcome]:
    columns = answered.columns()
    outcomes = zip(*(columns[name] for name in Outcome._fields), strict=True)
    return dict(zip(columns[KEY], map(Outcome._make, outcomes), strict=True))


def mine(number: int, **changes: object) -> Answer:
    return answer(number, **{"run": "run-2", **changes})


async def test_a_key_is_asked_once_however_many_rows_and_chunks_need_it(office: Office) -> None:
    chunks = [[prompt(1), prompt(2), prompt(1), None], [prompt(2), prompt(3)]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(office.desk.answers(prompts(*chunk))) for chunk in chunks]
        await office.until_asked(3)
        assert sorted(office.model.keys) == sorted([key(1), key(2), key(3)])
        await office.arrive(mine(2))
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)
        await office.arrive(mine(1), mine(3))
    assert [set(meanings(task.result())) for task in tasks] == [{key(1), key(2)}, {key(2), key(3)}]
    assert len(office.model.asked) == 3


async def test_a_durable_answer_is_never_asked_again_and_counts_as_reused(office: Office) -> None:
    await office.ledger.append(answer(1))
    office.desk._pending.clear()
    office.ledger._on_durable = lambda _: None
    await office.ledger.flush()
    found = await office.desk.answers(prompts(prompt(1)))
    assert meanings(found)[key(1)].labels == ("games",)
    assert (office.model.opened, office.desk.reused) == (0, 1)


async def test_a_chunk_without_text_needs_neither_ledger_nor_model(office: Office) -> None:
    assert len(await office.desk.answers(prompts(None, None))) == 0
    assert office.model.opened == 0


async def test_chunks_that_need_the_same_known_answers_at_once_all_get_them(
    tmp_path: Path, parser: Parser
) -> None:
    async with Ledger.open(tmp_path, on_durable=list, on_failure=print) as ledger:
        for each in (answer(1), mine(2), answer(3)):
            await ledger.append(each)
    async for office in _office(tmp_path, parser):
        async with asyncio.timeout(5):
            first, second = await asyncio.gather(
                office.desk.answers(prompts(prompt(1), prompt(2))),
                office.desk.answers(prompts(prompt(2), prompt(1), prompt(3))),
            )
        assert set(meanings(first)) == {key(1), key(2)}
        assert set(meanings(second)) == {key(1), key(2), key(3)}
        assert office.desk.reused == 2  # not what this run itself has paid for
        assert (office.desk.answered, office.desk._pending, office.desk._followers) == (0, {}, {})


async def test_an_invalid_answer_is_asked_once_more_and_the_second_is_the_last_word(office: Office) -> None:
    waiting = asyncio.create_task(office.desk.answers(prompts(prompt(1))))
    await office.until_asked(1)
    first = mine(1, text='{"label": "nonsense"}')
    await office.arrive(first)
    assert office.model.asked == [(key(1), None), (key(1), first)]
    await office.arrive(mine(1, text='{"label": "rubbish"}', asks=2))
    assert meanings(await waiting)[key(1)].status is Status.INVALID


async def test_after_a_crash_an_invalid_answer_that_was_asked_once_is_asked_once_more(
    tmp_path: Path, parser: Parser
) -> None:
    first = mine(1, text="nonsense")
    async with Ledger.open(tmp_path, on_durable=list, on_failure=print) as ledger:
        await ledger.append(first)
    async for office in _office(tmp_path, parser):
        waiting = asyncio.create_task(office.desk.answers(prompts(prompt(1))))
        await office.until_asked(1)
        assert office.model.asked == [(key(1), first)]
        await office.arrive(mine(1, asks=2))
        assert meanings(await waiting)[key(1)].status is Status.OK


@pytest.mark.parametrize(("run", "asks"), [("run-1", 1), ("run-2", 0)])
async def test_a_retry_asks_afresh_for_what_earlier_runs_paid_for_only(
    tmp_path: Path, parser: Parser, run: str, asks: int
) -> None:
    async with Ledger.open(tmp_path, on_durable=list, on_failure=print) as ledger:
        await ledger.append(answer(1, run=run, text=None, status=Status.FILTERED, error="filtered"))
        await ledger.append(answer(2, run=run))
    async for office in _office(tmp_path, parser, retry=[Status.FILTERED]):
        waiting = asyncio.create_task(office.desk.answers(prompts(prompt(1), prompt(2))))
        if asks:
            await office.until_asked(1)
            assert office.model.asked == [(key(1), None)]
            await office.arrive(mine(1))
        found = meanings(await waiting)
        assert found[key(1)].status is (Status.OK if asks else Status.FILTERED)
        assert len(office.model.asked) == asks


async def test_nothing_is_held_once_all_are_answered(office: Office) -> None:
    waiting = asyncio.create_task(office.desk.answers(prompts(*map(prompt, range(100)))))
    await office.until_asked(100)
    await office.arrive(*(mine(n) for n in range(60)))
    assert office.desk.answered == 60
    await office.arrive(*(mine(n) for n in range(60, 100)))
    await waiting
    assert (office.desk.answered, office.desk._pending) == (0, {})

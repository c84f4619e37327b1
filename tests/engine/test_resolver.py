"""The resolver: no key is asked twice, however many chunks need it and whenever."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.engine.resolver import Resolver
from pipeline.ledger import Ledger
from pipeline.llm.request import bill_key
from pipeline.outputs.columns import KEY, Answered
from pipeline.records import Answer, Outcome, Prompt, Status
from pipeline.tasks.parse import Parser
from tests.answers import answer, key, prompt, prompts
from tests.jobs import JobFiles


class Model:
    """Stands for the dispatcher: keeps what it is asked, and answers when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Answer | None]] = []
        self.owed: list[Answer | None] = []
        self.opened = 0

    async def open(self, _: Sequence[bytes]) -> "Model":
        self.opened += 1
        return self

    def ask(self, prompt: Prompt, previous: Answer | None = None, owed: Answer | None = None) -> None:
        self.asked.append((prompt.key, previous))
        self.owed.append(owed)

    @property
    def keys(self) -> list[bytes]:
        return [key for key, _ in self.asked]


class Bench:
    """A resolver with its ledger and its model."""

    def __init__(self, ledger: Ledger, resolver: Resolver, model: Model) -> None:
        self.ledger, self.resolver, self.model = ledger, resolver, model

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
async def bench(tmp_path: Path, parser: Parser):
    async for each in _bench(tmp_path, parser):
        yield each


async def _bench(folder: Path, parser: Parser, retry: Sequence[Status] = (), **options: bool):
    model = Model()
    resolver = Resolver(parser, "run-2", retry=retry, open_asker=model.open, **options)  # type: ignore[arg-type]
    async with Ledger.open(folder, on_durable=resolver.on_durable, on_failure=print) as resolver.ledger:
        yield Bench(resolver.ledger, resolver, model)


async def paid_for(folder: Path, *answers: Answer) -> None:
    """Put *answers* into the ledger, as an earlier execution does."""
    async with Ledger.open(folder, on_durable=list, on_failure=print) as ledger:
        for each in answers:
            await ledger.append(each)


def meanings(answered: Answered) -> dict[bytes, Outcome]:
    columns = answered.columns()
    outcomes = zip(*(columns[name] for name in Outcome._fields), strict=True)
    return dict(zip(columns[KEY], map(Outcome._make, outcomes), strict=True))


def mine(number: int, **changes: object) -> Answer:
    return answer(number, **{"run": "run-2", **changes})


async def test_a_key_is_asked_once_however_many_rows_and_chunks_need_it(bench: Bench) -> None:
    chunks = [[prompt(1), prompt(2), prompt(1), None], [prompt(2), prompt(3)]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bench.resolver.resolve(prompts(*chunk))) for chunk in chunks]
        await bench.until_asked(3)
        assert sorted(bench.model.keys) == sorted([key(1), key(2), key(3)])
        await bench.arrive(mine(2))
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)
        await bench.arrive(mine(1), mine(3))
    assert [set(meanings(task.result())) for task in tasks] == [{key(1), key(2)}, {key(2), key(3)}]
    assert len(bench.model.asked) == 3


async def test_a_durable_answer_is_never_asked_again_and_counts_as_reused(
    tmp_path: Path, parser: Parser
) -> None:
    await paid_for(tmp_path, answer(1))
    async for bench in _bench(tmp_path, parser):
        found = await bench.resolver.resolve(prompts(prompt(1)))
        assert meanings(found)[key(1)].labels == ("games",)
        assert (bench.model.opened, bench.resolver.reused) == (0, 1)


async def test_a_chunk_without_text_needs_neither_ledger_nor_model(bench: Bench) -> None:
    assert len(await bench.resolver.resolve(prompts(None, None))) == 0
    assert bench.model.opened == 0


async def test_chunks_that_need_the_same_known_answers_at_once_all_get_them(
    tmp_path: Path, parser: Parser
) -> None:
    await paid_for(tmp_path, answer(1), mine(2), answer(3))
    async for bench in _bench(tmp_path, parser):
        async with asyncio.timeout(5):
            first, second = await asyncio.gather(
                bench.resolver.resolve(prompts(prompt(1), prompt(2))),
                bench.resolver.resolve(prompts(prompt(2), prompt(1), prompt(3))),
            )
        assert set(meanings(first)) == {key(1), key(2)}
        assert set(meanings(second)) == {key(1), key(2), key(3)}
        assert bench.resolver.reused == 2  # not what this run itself has paid for
        assert bench.resolver.answered == 5  # until the chunks are written


async def test_an_invalid_answer_is_asked_once_more_and_the_second_is_the_last_word(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.resolver.resolve(prompts(prompt(1))))
    await bench.until_asked(1)
    first = mine(1, text='{"label": "nonsense"}')
    await bench.arrive(first)
    assert bench.model.asked == [(key(1), None), (key(1), first)]
    await bench.arrive(mine(1, text='{"label": "rubbish"}', asks=2))
    assert meanings(await waiting)[key(1)].status is Status.INVALID


async def test_after_a_crash_an_invalid_answer_that_was_asked_once_is_asked_once_more(
    tmp_path: Path, parser: Parser
) -> None:
    first = mine(1, text="nonsense")
    await paid_for(tmp_path, first)
    async for bench in _bench(tmp_path, parser):
        waiting = asyncio.create_task(bench.resolver.resolve(prompts(prompt(1))))
        await bench.until_asked(1)
        assert bench.model.asked == [(key(1), first)]
        await bench.arrive(mine(1, asks=2))
        assert meanings(await waiting)[key(1)].status is Status.OK


@pytest.mark.parametrize(("run", "asks"), [("run-1", 1), ("run-2", 0)])
async def test_a_retry_asks_afresh_for_what_earlier_runs_paid_for_only(
    tmp_path: Path, parser: Parser, run: str, asks: int
) -> None:
    filtered = answer(1, run=run, text=None, status=Status.FILTERED, error="filtered")
    await paid_for(tmp_path, filtered, answer(2, run=run))
    async for bench in _bench(tmp_path, parser, retry=[Status.FILTERED]):
        waiting = asyncio.create_task(bench.resolver.resolve(prompts(prompt(1), prompt(2))))
        if asks:
            await bench.until_asked(1)
            assert bench.model.asked == [(key(1), None)]
            await bench.arrive(mine(1))
        found = meanings(await waiting)
        assert found[key(1)].status is (Status.OK if asks else Status.FILTERED)
        assert len(bench.model.asked) == asks


async def test_a_prompt_is_asked_again_with_the_bill_that_its_own_run_has_left(
    tmp_path: Path, parser: Parser
) -> None:
    bills = [answer(n, key=bill_key(key(n), run), run=run, asks=0) for n, run in ((1, "run-1"), (2, "run-2"))]
    await paid_for(tmp_path, *bills)
    async for bench in _bench(tmp_path, parser, continued=True):
        waiting = asyncio.create_task(bench.resolver.resolve(prompts(prompt(1), prompt(2))))
        await bench.until_asked(2)
        assert dict(zip(bench.model.keys, bench.model.owed, strict=True)) == {key(1): None, key(2): bills[1]}
        await bench.arrive(mine(1), bills[1], mine(2))
        assert len(meanings(await waiting)) == len(bench.model.asked) == 2


async def test_nothing_is_held_once_all_are_answered(bench: Bench) -> None:
    every = prompts(*map(prompt, range(100)))
    waiting = asyncio.create_task(bench.resolver.resolve(every))
    await bench.until_asked(100)
    await bench.arrive(*(mine(n) for n in range(60)))
    assert bench.resolver.answered == 60
    await bench.arrive(*(mine(n) for n in range(60, 100)))
    await waiting
    assert bench.resolver.answered == 100
    async with asyncio.timeout(5):  # a key that is still claimed would be waited for
        assert len(await bench.resolver.resolve(every)) == len(bench.model.asked) == 100

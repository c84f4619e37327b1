"""What was accepted and refused is counted in the order of sending, with the load at which it was sent."""

import pytest

from pipeline.llm.pacing.belief import LimitBelief
from pipeline.llm.pacing.evidence import UNKNOWN_SECONDS, Departure, Evidence

REPLY_SECONDS, REFUSAL_SECONDS = 0.1, 0.03


class Recorder(LimitBelief):
    """A belief that records what it is taught."""

    def __init__(self) -> None:
        super().__init__(64)
        self.lessons: list[tuple[float, int, int]] = []

    def observe(self, load: float, accepted: int, refused: int) -> None:
        self.lessons.append((load, accepted, refused))

    @property
    def counts(self) -> tuple[int, int]:
        """All that were accepted and refused."""
        return sum(accepted for _, accepted, _ in self.lessons), sum(refused for *_, refused in self.lessons)


def send(evidence: Evidence, count: int, in_flight: int, at: float = 0.0) -> list[Departure]:
    return [evidence.on_sent(at, in_flight) for _ in range(count)]


def test_a_refusal_counts_what_was_sent_before_it_and_not_what_was_sent_after() -> None:
    evidence, belief = Evidence(), Recorder()
    sent = send(evidence, 10, 8)
    evidence.on_refusal(sent[6], REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    assert belief.counts == (6, 1)
    evidence.on_refusal(sent[9], REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    assert belief.counts == (8, 2)


def test_refusals_that_come_back_in_another_order_are_counted_all_the_same() -> None:
    evidence, belief = Evidence(), Recorder()
    sent = send(evidence, 10, 8)
    for number in (9, 3, 6):
        evidence.on_refusal(sent[number], REFUSAL_SECONDS)
        evidence.count_refusals(belief)
    assert belief.counts[1] == 3
    assert belief.lessons[1:] == [(8, 0, 1), (8, 0, 1)]  # late: they had counted as not refused


def test_a_reply_alone_says_nothing_until_a_refusal_would_have_come() -> None:
    evidence, belief = Evidence(), Recorder()
    evidence.on_refusal(*send(evidence, 1, 1), REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    evidence.on_reply(0.1, REPLY_SECONDS)
    evidence.pass_time(0.2, belief)
    send(evidence, 10, 8, at=0.2)
    evidence.on_reply(0.21, REPLY_SECONDS)
    evidence.pass_time(0.2 + 2 * REFUSAL_SECONDS - 0.001, belief)
    assert belief.counts == (0, 1)
    evidence.pass_time(0.2 + 2 * REFUSAL_SECONDS + 0.001, belief)
    evidence.pass_time(0.5, belief)
    assert belief.counts == (10, 1)


def test_what_is_not_back_counts_as_not_refused_once_a_refusal_would_have_come() -> None:
    evidence, belief = Evidence(), Recorder()
    send(evidence, 10, 8)
    evidence.pass_time(0.01, belief)
    evidence.pass_time(UNKNOWN_SECONDS, belief)  # nobody knows yet how long a refusal takes
    assert belief.counts == (0, 0)
    evidence.pass_time(UNKNOWN_SECONDS + 0.02, belief)
    assert belief.counts == (10, 0)


def test_each_load_is_counted_by_itself() -> None:
    evidence, belief = Evidence(), Recorder()
    sent = [*send(evidence, 10, 4), *send(evidence, 10, 32)]
    evidence.on_refusal(sent[15], REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    assert belief.lessons == [(4, 10, 0), (32, 5, 1)]


def test_a_refusal_that_comes_late_is_counted_at_a_load_at_which_others_were_accepted() -> None:
    evidence, belief = Evidence(), Recorder()
    sent = [*send(evidence, 10, 32), *send(evidence, 10, 35), *send(evidence, 10, 32)]
    evidence.on_refusal(sent[29], REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    for number in (3, 13, 23):
        evidence.on_refusal(sent[number], REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    assert belief.lessons == [(32, 19, 1), (35, 10, 0), (32, 0, 1), (35, 0, 1), (32, 0, 1)]


def test_before_any_refusal_the_load_is_what_is_in_flight() -> None:
    evidence = Evidence()
    assert [departure.load for departure in send(evidence, 3, 7)] == [7, 7, 7]


def test_refused_requests_are_soon_over_so_the_load_is_more_than_what_is_in_flight() -> None:
    evidence, belief = Evidence(), Recorder()
    evidence.on_refusal(*send(evidence, 1, 1), REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    evidence.on_reply(0.1, REPLY_SECONDS)
    at, departure = 0.0, None
    for _ in range(400):  # 200 a second for two seconds
        at += 0.005
        departure = evidence.on_sent(at, 10)
    assert departure is not None
    assert departure.load == pytest.approx(200 * REPLY_SECONDS, rel=0.1)
    assert evidence.on_sent(at, 2).load == 4 * 2  # four times what is in flight at most


def test_replies_account_for_what_they_kept_in_flight() -> None:
    evidence, belief = Evidence(), Recorder()
    assert evidence.served(0.0) == 0
    evidence.on_reply(0.0, REPLY_SECONDS)
    evidence.on_refusal(*send(evidence, 1, 1), REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    for number in range(800):
        evidence.on_reply(0.005 * number, REPLY_SECONDS)
    assert evidence.served(4.0) == pytest.approx(200 * REPLY_SECONDS, rel=0.1)
    assert evidence.served(10.0) < 1


def test_what_is_served_is_known_within_the_time_of_a_reply() -> None:
    evidence = Evidence()
    evidence.on_reply(0.0, REPLY_SECONDS)
    evidence.on_refusal(*send(evidence, 1, 1), REFUSAL_SECONDS)
    for number in range(1, 21):
        evidence.on_reply(REFUSAL_SECONDS + 0.005 * number, REPLY_SECONDS)
    assert evidence.served(REFUSAL_SECONDS + 0.1) == pytest.approx(200 * REPLY_SECONDS, rel=0.1)


def test_what_was_accepted_before_the_first_refusal_is_known_by_its_load() -> None:
    evidence = Evidence()
    evidence.on_reply(0.1, REPLY_SECONDS)
    for number in range(40):  # 320 a second
        send(evidence, 32, 32, 0.1 * number)
        evidence.pass_time(0.1 * number + 0.05, None)
    known, blank = evidence.first_belief(64, 4.0), LimitBelief(64)
    assert known.highest(0.02) > 20 > blank.highest(0.02)


def test_before_the_first_refusal_a_bursts_replies_are_no_capacity() -> None:
    evidence = Evidence()
    evidence.on_reply(0.1, REPLY_SECONDS)
    send(evidence, 32, 32)
    evidence.pass_time(0.6, None)
    assert (
        evidence.first_belief(64, 0.6).highest(0.02) < 5
    )  # 32 in a moment may be all that there is of a rate


def test_what_is_forgotten_is_never_counted() -> None:
    evidence, belief = Evidence(), Recorder()
    send(evidence, 10, 8)
    evidence.forget()
    evidence.pass_time(5.0, belief)
    evidence.pass_time(10.0, belief)
    assert belief.counts == (0, 0)
    evidence.on_refusal(send(evidence, 3, 8, at=10.0)[2], REFUSAL_SECONDS)
    evidence.count_refusals(belief)
    assert belief.counts == (2, 1)


def test_no_request_is_counted_twice_or_left_out() -> None:
    evidence, belief = Evidence(), Recorder()
    refused = 0
    for step in range(200):
        at = 0.05 * step
        sent = send(evidence, step % 7, 1 + step % 40, at)
        for departure in sent[::3]:
            evidence.on_refusal(departure, REFUSAL_SECONDS)
            evidence.count_refusals(belief)
            refused += 1
        evidence.pass_time(at + 0.04, belief)
    evidence.pass_time(100.0, belief)
    evidence.pass_time(200.0, belief)
    assert belief.counts == (evidence.sent - refused, refused)

"""The coin of a prompt: fair, its own, and the same whenever it is tossed."""

from math import sqrt

from pipeline.student.coin import SECRET_BYTES, draw_secret, toss

KEYS = [number.to_bytes(16, "big") for number in range(20_000)]


def test_it_is_fair() -> None:
    secret = bytes(range(SECRET_BYTES))
    heads = sum(toss(key, secret) < 0.03 for key in KEYS)
    assert abs(heads - 600) < 4 * sqrt(600)


def test_it_falls_the_same_way_for_the_same_secret_and_another_way_for_another() -> None:
    first, second = draw_secret(), draw_secret()
    coins = [toss(key, first) for key in KEYS]
    assert coins == [toss(key, first) for key in KEYS]
    both = sum(a < 0.5 and toss(key, second) < 0.5 for a, key in zip(coins, KEYS, strict=True))
    assert abs(both - 5_000) < 400  # a quarter: one tells nothing of the other

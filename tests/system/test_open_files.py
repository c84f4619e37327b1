"""As many connections as the limit on open files leaves room for."""

import resource

import pytest

from pipeline.errors import ConfigError
from pipeline.system.open_files import OTHER_FILES, affordable


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch):
    def set_limit(soft: int, hard: int) -> None:
        now = [soft, hard]
        monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
        monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: now.__setitem__(slice(None), wanted))

    return set_limit


@pytest.mark.parametrize(
    ("soft", "hard", "files_each", "found"),
    [
        (1024, 1024, 1, 600),
        (1024, 1024, 2, (1024 - OTHER_FILES) // 2),
        (256, 4096, 2, 600),
        (256, 256, 1, 256 - OTHER_FILES),
        (256, resource.RLIM_INFINITY, 1, 600),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2, 600),
    ],
)
def test_there_are_as_many_connections_as_files_allow(
    limit, soft: int, hard: int, files_each: int, found: int
) -> None:
    limit(soft, hard)
    assert affordable(600, files_each) == found


def test_without_room_for_a_single_one_the_run_says_what_to_raise(limit) -> None:
    limit(OTHER_FILES, OTHER_FILES)
    with pytest.raises(ConfigError, match="ulimit -n"):
        affordable(600)

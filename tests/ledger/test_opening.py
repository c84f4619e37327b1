"""The ledger of a state directory, as a run or another command opens it."""

import stat
from pathlib import Path

from pipeline.ledger import open_store, opened


def test_the_ledger_is_for_its_owners_eyes_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    open_store(folder).close()
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, *folder.iterdir())
    }
    assert modes == {"new": 0o700, "state": 0o700, "ledger.sqlite": 0o600, "ballast": 0o600}


def test_a_folder_without_a_ledger_has_none_for_those_who_only_look(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store is None
    assert list(tmp_path.iterdir()) == []

"""The list of mutants keeps up with the code: each changes one place, and its tests are there."""

from pathlib import Path

import pytest

from tests.reliability.mutants import Mutant, all_mutants

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", all_mutants(), ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_in_the_code_and_names_tests_that_exist(mutant: Mutant) -> None:
    assert mutant.problem(ROOT) is None
    for test in mutant.tests:
        file, _, name = test.partition("::")
        function = f"def {name.partition('[')[0]}(" if name else "def test_"
        assert function in (ROOT / "tests" / file).read_text()

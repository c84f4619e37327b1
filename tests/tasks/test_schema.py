"""The schema of an answer is what structured outputs accept, and fits what the parser reads."""

import pytest

from pipeline.tasks.schema import answer_schema
from tests.tasks.make import LABELS, settings


def test_one_label_is_a_required_member_of_the_set() -> None:
    assert answer_schema(settings()) == {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(LABELS)}},
        "required": ["label"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(("bound", "told"), [({}, {}), ({"max_labels": 3}, {"maxItems": 3})])
def test_many_labels_are_a_list_of_members_with_its_bound(
    bound: dict[str, int], told: dict[str, int]
) -> None:
    value = answer_schema(settings("multi", **bound))["properties"]["labels"]
    assert value == {"type": "array", "items": {"type": "string", "enum": list(LABELS)}, **told}

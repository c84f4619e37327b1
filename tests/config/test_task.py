"""Which tasks cannot be asked, and the line that says why."""

import pytest

# Tasks that are wrong: (keys, the line behind its place).
TASKS = {
    "no label": ({"labels": "[]"}, "labels: has no label to choose from; write at least 2"),
    "one label": ({"labels": "[games]"}, "labels: has 1 label to choose from; write at least 2"),
    "labels that are empty": ({"labels": ""}, "labels: is empty; write a list, such as [one, two]"),
    "too many labels": (
        {"labels": str([f"l{index}" for index in range(1_001)])},
        "labels: has 1001 labels; write at most 1000",
    ),
    "labels equal up to case": (
        {"labels": "[Games, games]"},
        'labels[1].name: is the same as "Games", capitals and blanks apart; keep one of them',
    ),
    "labels equal up to blanks": (
        {"labels": "[e mail, email]"},
        'labels[1].name: is the same as "e mail", capitals and blanks apart; keep one of them',
    ),
    "a label with a line break": (
        {"labels": r'[games, "a\nb"]'},
        "labels[1].name: has a line break or a control character; write the label on one line",
    ),
    "a label with a NUL": (
        {"labels": r'[games, "a\0b"]'},
        "labels[1].name: has a line break or a control character; write the label on one line",
    ),
    "a long label": (
        {"labels": f"[games, {'x' * 201}]"},
        "labels[1].name: is 201 characters long; write at most 200, the rest belongs into description",
    ),
    "a blank label": ({"labels": '[games, " "]'}, "labels[1].name: is an empty label; write its name"),
    "a label with blanks around it": (
        {"labels": '[games, " x"]'},
        "labels[1].name: has blanks around it; take them away",
    ),
    "no column": (
        {"text": "hello"},
        "text: hello names no column; write {column} where the row's text belongs",
    ),
    "a lone brace": (
        {"text": "'{a} }'"},
        'text: "{a} }" has a single } at character 5; write }} for a brace, and rename a column whose name holds one',
    ),
    "no instructions": ({"instructions": '" "'}, 'instructions: " " is empty; write a text'),
    "an unknown kind": ({"kind": "mutli"}, "kind: mutli is not known; did you mean multi?"),
    "no tokens": (
        {"max_text_tokens": "0"},
        "max_text_tokens: 0 is not a whole number above 0; write digits only, such as 500 or 200_000",
    ),
    "half a character": (
        {"instructions": r'"\ud800"'},
        "instructions: holds half a character (a lone surrogate); write the whole one",
    ),
    "a past that is there twice": (
        {"labels": "[{name: post, was: [mail, letters, Mail]}, games]"},
        "labels[0].was[2]: Mail is there twice; keep one of them",
    ),
    "labels that trade names": (
        {"labels": "[{name: games, was: post}, {name: post, was: games}, sound]"},
        'labels[0].was: post goes in a circle: "games" and "post" take each other\'s names; call one of them otherwise',
    ),
    "a past without a name": (
        {"labels": '[{name: games, was: ""}, post]'},
        "labels[0].was[0]: is empty; write a text",
    ),
    "a bound for a single label": (
        {"max_labels": "2"},
        "max_labels: 2 is given, but kind single always gives one label; leave it out or set kind: multi",
    ),
    "an example with an unknown label": (
        {"examples": "[{text: a, label: soudn}]"},
        'examples[0].label: soudn is not one of task.labels; did you mean "sound"?',
    ),
    "an example without a label": (
        {"examples": "[{text: a}]"},
        "examples[0]: has no label; add label: with one label",
    ),
    "an example of the other kind": (
        {"examples": "[{text: a, labels: [games]}]"},
        "examples[0].labels: is for kind multi; write label: with one label",
    ),
    "a multi example of the other kind": (
        {"kind": "multi", "examples": "[{text: a, labels: [], label: games}]"},
        "examples[0].label: games is for kind single; write labels: with a list",
    ),
    "a multi example without labels": (
        {"kind": "multi", "examples": "[{text: a}]"},
        "examples[0]: has no labels; add labels: with a list, which may be empty",
    ),
    "a multi example with a label twice": (
        {"kind": "multi", "examples": "[{text: a, labels: [games, games]}]"},
        "examples[0].labels[1]: games is there twice; keep one of them",
    ),
    "a multi example with too many labels": (
        {"kind": "multi", "max_labels": "1", "examples": "[{text: a, labels: [games, sound]}]"},
        "examples[0].labels: has more labels than max_labels; take some away",
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_cannot_be_asked_is_refused(job, name, task_text):
    keys, line = TASKS[name]
    [found] = job.problems(task=task_text(**keys))
    place, _, rest = found.partition(" task.")
    assert rest == line
    assert place.startswith("job.yaml:")


def test_all_that_is_wrong_with_labels_and_examples_is_told_at_once(job, task_text):
    task = task_text(
        labels='[games, " sound ", games, no]',
        examples='[{text: "", label: gams}, {text: a}, {text: b, labels: [games]}, {text: c, label: sound}, {label: x}]',
    )
    found = [problem.partition(" task.")[2] for problem in job.problems(task=task)]
    assert sorted(found) == [
        'examples[0].label: gams is not one of task.labels; did you mean "games"?',
        "examples[0].text: is empty; write a text",
        "examples[1]: has no label; add label: with one label",
        "examples[2].labels: is for kind multi; write label: with one label",
        "examples[4].label: x is not one of task.labels; write one of them",
        "examples[4].text: is missing; add it (the text, as the template would render it)",
        "labels[1].name: has blanks around it; take them away",
        'labels[2].name: is the same as "games", capitals and blanks apart; keep one of them',
        "labels[3]: no is true or false to YAML; quote it",
    ]

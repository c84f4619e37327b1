"""What a user reads about a wrong config: whole lines of place, key, value, what is wrong and what to do."""

import pytest

CANARY = "sk-canary-4711"

# Sections that are wrong: (sections, their lines).
WRONG = {
    "an unknown key": (
        {"limits": "{concurency: 8}"},
        ["job.yaml:4: limits.concurency: is an unknown key; did you mean max_concurrency?"],
    ),
    "an unknown section": (
        {"outptu": "{}"},
        ["job.yaml:4: outptu: is an unknown key; did you mean output?"],
    ),
    "a key like nothing": (
        {"state": "{xyz: 1}"},
        ["job.yaml:4: state.xyz: is an unknown key; write dir"],
    ),
    "the reserved key": (
        {"path": "rows.csv"},
        ["job.yaml:4: path: is an unknown key; did you mean input.path or output.path?"],
    ),
    "a duplicate key": (
        {"limits": "\n  max_concurrency: 1\n  max_concurrency: 2"},
        ["job.yaml:5: limits.max_concurrency: is given twice, on lines 5 and 6; keep one of them"],
    ),
    "a key that is no text": (
        {"limits": "\n  ? [a]\n  : 1"},
        ["job.yaml:4: limits: has a key on line 5 that is no text; write a name"],
    ),
    "a tag": (
        {"limits": "{max_concurrency: !count 8}"},
        ["job.yaml:4: limits.max_concurrency: carries a YAML tag (!...); leave the tag out"],
    ),
    "a section that is a text": (
        {"limits": "none"},
        ["job.yaml:4: limits: is text; write a mapping with its keys below it"],
    ),
    "an encoding that is none": (
        {"input": "{path: a.csv, csv: {encoding: utf-9}}"},
        [
            "job.yaml:1: input.csv.encoding: utf-9 is not an encoding; write one such as utf-8, utf-16 or latin-1"
        ],
    ),
    "a delimiter of two characters": (
        {"input": '{path: a.csv, csv: {delimiter: ";;"}}'},
        ['job.yaml:1: input.csv.delimiter: ";;" is not one character; write one such as ";" or "\\t"'],
    ),
    "a quote that is the delimiter": (
        {"input": """{path: a.csv, csv: {delimiter: "'", quote: "'"}}"""},
        ['job.yaml:1: input.csv.quote: "\'" is the delimiter too; choose another one'],
    ),
    "a number for a text": (
        {"input": "{path: rows.parquet, id: 7}"},
        ["job.yaml:1: input.id: is a number; write text, in quotes if YAML reads it as something else"],
    ),
    "an empty path": (
        {"input": '{path: ""}'},
        ["job.yaml:1: input.path: is empty; write a path"],
    ),
    "a path from home": (
        {"input": "{path: ~/rows.parquet}"},
        [
            "job.yaml:1: input.path: ~/rows.parquet begins with ~, which only a shell knows; write ${HOME} instead"
        ],
    ),
    "an output at a URL of no object store": (
        {"output": "{path: 'https://host/x.parquet'}"},
        [
            (
                'job.yaml:3: output.path: "https://host/x.parquet" is a URL that is not known; '
                "write a path on this machine, or one of s3://, gs://, az://"
            )
        ],
    ),
    "an output with a key in its URL": (
        {"output": "{path: 's3://key:word@bucket/x.parquet'}"},
        [
            (
                "job.yaml:3: output.path: names no bucket; "
                "write s3://bucket/folder/name, and keep keys in the environment"
            )
        ],
    ),
    "an output whose format is not known": (
        {"output": "{path: labelled.xlsx}"},
        [
            "job.yaml:3: output.path: labelled.xlsx has no format that is known; let it end in .parquet, .csv, .csv.gz, .jsonl or .jsonl.gz"
        ],
    ),
    "a column named twice": (
        {"output": "{path: x.parquet, columns: {only: [a, a]}}"},
        ["job.yaml:3: output.columns.only: names a column twice; name each once"],
    ),
    "a variable that is not set": (
        {"limits": "{max_concurrency: '${WORKERS}'}"},
        [
            (
                "job.yaml:4: limits.max_concurrency: needs the environment variable WORKERS, which is not set; "
                "set it, or write ${WORKERS:-default}"
            )
        ],
    ),
    "a variable without a name": (
        {"input": "{path: '${}/rows.parquet'}"},
        [
            (
                "job.yaml:1: input.path: has a ${...} that is no name; "
                "write ${NAME}, ${NAME:-default} or ${now:%Y-%m-%d}"
            )
        ],
    ),
    "a variable without its end": (
        {"input": "{path: '${HOME/rows.parquet'}"},
        ["job.yaml:1: input.path: has a ${ without its }; write ${NAME} or ${NAME:-default}"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_section_is_named_with_its_line_and_the_fix(job, name):
    sections, lines = WRONG[name]
    assert job.problems(**sections) == lines


@pytest.mark.parametrize(
    "sections",
    [
        {"api_key": CANARY},
        {"input": f"{{path: rows.parquet, id: [{CANARY}]}}"},
        {"limits": f"{{max_concurrency: {CANARY}, drain: {CANARY}}}"},
        {"limits": CANARY},
        {"model": f"{{temperature: {CANARY}, structured_output: {CANARY}, headers: {CANARY}}}"},
        {"model": CANARY},
        {"output": f"{{path: 's3://me:{CANARY}@bucket/x.parquet'}}"},
        {"model": f"{{api_key: {CANARY}: x}}"},
        {"model": f"{{api_key: *{CANARY}}}"},
        {"model": f"{{api_key: !{CANARY} x}}"},
        {"model": f"\n  api_key: {CANARY}\n  api_key: {CANARY}"},
    ],
)
def test_a_secret_in_a_wrong_place_is_in_no_message(job, sections):
    assert "canary" not in str(job.problems(**sections))


@pytest.mark.parametrize("missing", ["input", "task", "output"])
def test_a_missing_section_is_named_with_what_belongs_there(job, missing):
    sections = {"input": "{path: a.parquet}", "task": '{instructions: a, text: "{b}", labels: [c, d]}'}
    sections["output"] = "{path: e.parquet}"
    text = "".join(f"{name}: {value}\n" for name, value in sections.items() if name != missing)
    [line] = job.problems(text)
    assert line.startswith(f"job.yaml:1: {missing}: is missing; add it (w")


def test_missing_keys_are_named_with_what_belongs_there(job):
    assert job.problems(task="{kind: single}") == [
        "job.yaml:2: task.instructions: is missing; add it (what the model has to do)",
        (
            "job.yaml:2: task.text: is missing; add it "
            "(what it reads about a row: text with {column} names, as the table has them; {{ and }} for braces)"
        ),
        (
            "job.yaml:2: task.labels: is missing; add it "
            "(the labels to choose from: 2 to 1000, in quotes if in doubt; or {file: labels.csv})"
        ),
    ]


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("yes", "true or false"),
        ("no", "true or false"),
        ("Off", "true or false"),
        ("n", "true or false"),
        ("true", "true or false"),
        ("1.10", "a number"),
        ("012", "a number"),
        ("0x1F", "a number"),
        ("1_000", "a number"),
        ("12:30", "a number"),
        ("-.inf", "a number"),
        ("1e5", "a number"),
        ("2026-01-01", "a date"),
        ("2026-01-01 10:00:00", "a date"),
        ("~", "nothing"),
        ("null", "nothing"),
    ],
)
def test_a_label_that_yaml_may_take_for_something_else_must_be_quoted(job, task_text, label, kind):
    expected = f"job.yaml:5: task.labels[1]: {label} is {kind} to YAML; quote it"
    assert job.problems(task=task_text(labels=f"[a, {label}]")) == [expected]
    assert job.load(task=task_text(labels=f'[a, "{label}"]')).task.labels[1].name == label


def test_a_label_of_an_example_must_be_quoted_as_well(job, task_text):
    text = task_text(labels='[{name: no}, "yes"]', examples="[{text: a, label: yes}, {text: b, label: no}]")
    assert job.problems(task=text) == [
        "job.yaml:5: task.labels[0].name: no is true or false to YAML; quote it",
        "job.yaml:6: task.examples[0].label: yes is true or false to YAML; quote it",
        "job.yaml:6: task.examples[1].label: no is true or false to YAML; quote it",
    ]


@pytest.mark.parametrize("label", ["3d", "x86", "1.2.3", "no way", "yes!", "made-of::font", "日本", "e-mail"])
def test_an_ordinary_label_needs_no_quotes(job, task_text, label):
    assert job.load(task=task_text(labels=f"\n    - a\n    - {label}")).task.labels[1].name == label


def test_everything_wrong_is_reported_at_once_in_the_order_of_the_file(job):
    lines = job.problems(
        input="{path: '', id: 7}",
        task='{kind: both, instructions: a, text: "{", labels: [no, b]}',
        output="{path: x.xlsx}",
        model=f"{{api_key: {CANARY}, provider: me}}",
        limits="{max_concurrency: 0, max_runtime: '${UNSET}'}",
        stat="{}",
    )
    assert [line.split(": ")[1] for line in lines] == [
        "input.path",
        "input.id",
        "task.labels[0]",
        "task.kind",
        "task.text",
        "output.path",
        "model.api_key",
        "model.provider",
        "limits.max_runtime",
        "limits.max_concurrency",
        "stat",
    ]

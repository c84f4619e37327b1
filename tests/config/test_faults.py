"""Every way in which a config can be wrong, and the line that the user reads.

The lines are whole: place, key, value, what is wrong and what to do.
"""

import pytest

CANARY = "sk-canary-4711"

# Texts that are no config at all: (text, the one line).
UNREADABLE = {
    "empty": ("# nothing\n", "job.yaml:1: is empty; it needs the keys input, task and output"),
    "a list": ("- a\n", "job.yaml:1: is no mapping; start with input:, task: and output:"),
    "a word": ("\nhello\n", "job.yaml:2: is no mapping; start with input:, task: and output:"),
    "a tab": (
        "input:\n\tpath: x\n",
        "job.yaml:2:1: a tab stands where YAML wants blanks; indent with blanks",
    ),
    "two colons": ("a: b: c\n", "job.yaml:1:5: a second ': ' stands on the line; put the value in quotes"),
    "two documents": (
        "a: 1\n---\nb: 1\n",
        "job.yaml:2:1: a second document or a directive is here; keep one document",
    ),
    "an open bracket": (
        "a: [1\n",
        (
            "job.yaml:2:1: the YAML does not go on like this (expected ',' or ']', but got '<stream end>'); "
            "look at quotes, brackets and indents"
        ),
    ),
    "a control character": ("a: b\nc: \x01\n", "job.yaml:2:4: a control character is here; delete it"),
    "an alias to itself": (
        "a: &a [*a]\n",
        "job.yaml:1: is nested too deeply or refers to itself; write the values out",
    ),
    "a tower": ("[" * 5_000, "job.yaml:1: is nested too deeply; write the values out"),
}

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
    "an output that is a URL": (
        {"output": "{path: s3://bucket/x.parquet}"},
        ["job.yaml:3: output.path: s3://bucket/x.parquet is a URL; write a path on this machine"],
    ),
    "an output that is no Parquet file": (
        {"output": "{path: labelled.csv}"},
        ["job.yaml:3: output.path: labelled.csv is not a Parquet file; let it end in .parquet"],
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


def counted(value: str) -> str:
    return f"{value} is not a whole number above 0; write digits only, such as 500 or 200_000"


LIMITS = {
    'requests_per_minute: "10 000"': counted('requests_per_minute: "10 000"'),
    "requests_per_minute: 0": counted("requests_per_minute: 0"),
    "requests_per_minute: -1": counted("requests_per_minute: -1"),
    "requests_per_minute: .NaN": counted("requests_per_minute: .NaN"),
    "requests_per_minute: true": counted("requests_per_minute: true"),
    "tokens_per_minute: 1.5": counted("tokens_per_minute: 1.5"),
    "max_concurrency: 0": counted("max_concurrency: 0"),
    "max_concurrency: 99999999999999": counted("max_concurrency: 99999999999999"),
    "max_cost_usd: 0": "max_cost_usd: 0 is not an amount above 0; write US dollars such as 5 or 0.50",
    "max_cost_usd: .inf": "max_cost_usd: .inf is not an amount above 0; write US dollars such as 5 or 0.50",
    "max_runtime: 6 hours": "max_runtime: 6 hours is not a duration above 0; "
    "write one such as 90s, 30m, 6h or 1d, or a number of seconds",
    "drain: 0": "drain: 0 is not a duration above 0; write one such as 90s, 30m, 6h or 1d, or a number of seconds",
    "request_timeout: never": "request_timeout: never is not a duration above 0; "
    "write one such as 90s, 30m, 6h or 1d, or a number of seconds",
    "max_failed: 101%": "max_failed: 101% is not an allowance; write a share such as 1% or a whole number of rows",
    "max_failed: 0.01": "max_failed: 0.01 is not an allowance; write a share such as 1% or a whole number of rows",
}

PLAIN_NAME = "write a plain {column} name, without blanks around it and without . [ ] ! or :"
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
    "attribute access": ({"text": "'{a.b}'"}, f'text: "{{a.b}}" has {{a.b}} at character 1; {PLAIN_NAME}'),
    "index access": ({"text": "'x {a[0]}'"}, f'text: "x {{a[0]}}" has {{a[0]}} at character 3; {PLAIN_NAME}'),
    "a conversion": ({"text": "'{a!r}'"}, f'text: "{{a!r}}" has {{a!r}} at character 1; {PLAIN_NAME}'),
    "a format": ({"text": "'{a:>3}'"}, f'text: "{{a:>3}}" has {{a:>3}} at character 1; {PLAIN_NAME}'),
    "a lone brace": (
        {"text": "'{a} }'"},
        'text: "{a} }" has a single } at character 5; write }} for a brace',
    ),
    "no instructions": ({"instructions": '" "'}, 'instructions: " " is empty; write a text'),
    "an unknown kind": ({"kind": "mutli"}, "kind: mutli is not known; did you mean multi?"),
    "no tokens": ({"max_text_tokens": "0"}, counted("max_text_tokens: 0")),
    "half a character": (
        {"instructions": r'"\ud800"'},
        "instructions: holds half a character (a lone surrogate); write the whole one",
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

OPEN_URL = "sends the key and the rows unencrypted; write https://, or set allow_insecure: true"
HIDDEN = "looks like an API key, which does not belong in the config; use api_key_env with the name of the variable that holds it"
MODELS = {
    "a provider with a typo": ("provider: openia", "provider: openia is not known; did you mean openai?"),
    "no base_url": (
        "provider: openai-compatible",
        "base_url: is missing, and provider openai-compatible needs it; write one such as https://host/v1",
    ),
    "http to elsewhere": ("base_url: http://example.com/v1", f"base_url: http://example.com/v1 {OPEN_URL}"),
    "http to nearly here": (
        "base_url: http://127.0.0.1.example.com",
        f"base_url: http://127.0.0.1.example.com {OPEN_URL}",
    ),
    "a user in the URL": (
        f"base_url: https://me:{CANARY}@example.com",
        "base_url: carries a user name or a password; take it out and use api_key_env",
    ),
    "a user in the URL, allowed": (
        f"allow_insecure: true, base_url: http://me:{CANARY}@example.com",
        "base_url: carries a user name or a password; take it out and use api_key_env",
    ),
    "a file for a URL": (
        "allow_insecure: true, base_url: file:///etc/passwd",
        "base_url: file:///etc/passwd is not an http or https URL; write one such as https://host/v1",
    ),
    "a key in the query": (
        f"base_url: 'https://example.com/v1?key={CANARY}'",
        "base_url: has a part after ? or #; leave that out, requests add their own path",
    ),
    "a port that is none": (
        "base_url: https://example.com:abc",
        "base_url: https://example.com:abc is not a URL; write one such as https://host/v1",
    ),
    "api_key": (f"api_key: {CANARY}", f"api_key: {HIDDEN}"),
    "api-key, not like one": (
        "api-key: canary-4711",
        "api-key: does not belong in the config; use api_key_env with the name of the variable that holds it",
    ),
    "a key for the variable's name": (f"api_key_env: {CANARY}", f"api_key_env: {HIDDEN}"),
    "a secret for the variable's name": (
        "api_key_env: canary4711",
        "api_key_env: is not the name of an environment variable in capitals; write the name, never the key",
    ),
    "a key for the model's name": (f"name: {CANARY}", f"name: {HIDDEN}"),
    "a key in a header": (
        "headers: {X-Api-Key: canary4711}",
        "headers.X-Api-Key: holds a secret, which does not belong in the config; write ${NAME} and set that variable",
    ),
    "a long secret for a provider": (
        "provider: canary4711canary4711canary4711",
        "provider: is not known; write one of oxen, openai, openai-compatible, local, simulate",
    ),
    "a header that is none": (
        '{headers: {"a b": x}}'[1:-1],
        "headers.a b: is not the name of a header; use letters, digits and -",
    ),
    "a header with a line break": (
        r'headers: {A: "x\r\nB: y"}',
        "headers.A: has a line break or a character that no header may hold; write plain ASCII",
    ),
    "a header twice": (
        "headers: {A: x, a: y}",
        "headers: has a name twice, apart from capitals; keep one of them",
    ),
    "two sources of the key": (
        "api_key_env: KEY, api_key_file: key.txt",
        "api_key_env: is given beside api_key_file; keep one of them",
    ),
    "heat": ("temperature: 2.1", "temperature: 2.1 is not a temperature; write a number from 0 to 2"),
    "no probability": ("top_p: 0", "top_p: 0 is not a probability; write a number above 0, at most 1"),
    "half a seed": ("seed: 0.5", "seed: 0.5 is not a whole number; write digits only, such as 7"),
    "yes for true": ("logprobs: yes", "logprobs: yes is not true or false; write one of them"),
    "packs": ("rows_per_request: 4", "rows_per_request: 4 is not known; write 1"),
    "a price below 0": (
        "price: {input: -1, output: 1}",
        "price.input: -1 is not a price; write US dollars per million tokens such as 0.10, or 0",
    ),
    "half a price": (
        "price: {input: 1}",
        "price.output: is missing; add it (US dollars per million tokens written)",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_text_that_is_no_config_is_refused_with_its_place(job, name):
    text, line = UNREADABLE[name]
    assert job.problems(text) == [line]


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_section_is_named_with_its_line_and_the_fix(job, name):
    sections, lines = WRONG[name]
    assert job.problems(**sections) == lines


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_that_is_no_limit_is_refused(job, limit):
    assert job.problems(limits=f"{{{limit}}}") == [f"job.yaml:4: limits.{LIMITS[limit]}"]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_cannot_be_asked_is_refused(job, name, task_text):
    keys, line = TASKS[name]
    [found] = job.problems(task=task_text(**keys))
    place, _, rest = found.partition(" task.")
    assert rest == line
    assert place.startswith("job.yaml:")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_or_must_not_be_asked_is_refused(job, name):
    text, line = MODELS[name]
    assert job.problems(model=f"{{{text}}}") == [f"job.yaml:4: model.{line}"]


@pytest.mark.parametrize("name", MODELS)
def test_a_secret_is_in_no_message(job, name):
    text, _ = MODELS[name]
    assert "canary" not in str(job.problems(model=f"{{{text}}}"))


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
            "(what it reads about a row: text with plain {column} names; {{ and }} for braces)"
        ),
        "job.yaml:2: task.labels: is missing; add it (the labels to choose from: 2 to 1000, in quotes if in doubt)",
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


def test_everything_wrong_is_said_at_once_in_the_order_of_the_file(job):
    lines = job.problems(
        input="{path: '', id: 7}",
        task='{kind: both, instructions: a, text: "{", labels: [no, b]}',
        output="{path: x.csv}",
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

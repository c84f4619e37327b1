"""From a file, options and an environment to a Config."""

import os
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config import FailureAllowance, load_config
from pipeline.errors import ConfigError, NoInputError, UsageError

ANYTHING = settings(max_examples=150)
CANARY = "canary-4711"


def test_a_short_config_gets_the_documented_defaults(job):
    config = job.load()
    assert config.path == job.folder / "job.yaml"
    assert config.input.path == str(job.folder / "rows.parquet")
    assert config.output.path == job.folder / "labelled.parquet"
    assert config.state.dir == job.folder / ".pipeline" / "job"
    assert (config.task.kind, config.task.max_text_tokens, config.task.max_labels) == ("single", 2000, None)
    assert (config.model.provider, config.model.name) == ("oxen", "gpt-4-1-nano-2025-04-14")
    assert (config.model.temperature, config.model.max_tokens, config.model.rows_per_request) == (0.0, 32, 1)
    assert (config.limits.max_concurrency, config.limits.max_outage, config.limits.drain) == (
        64,
        1800.0,
        25.0,
    )
    assert str(config.limits.max_failed) == "1 %"
    assert config.limits.request_timeout == "auto"


def test_all_keys_can_be_written(job, task_text):
    config = job.load(
        input="{path: a.csv, id: key, csv: {delimiter: ';', encoding: latin-1, quote: \"'\"}}",
        task=task_text(
            kind="multi", max_labels="2", examples="[{text: t, labels: []}]", max_text_tokens="50"
        ),
        model="{provider: openai-compatible, base_url: 'https://h/v1/', api_key_file: key, top_p: 0.5, seed: 7, "
        "logprobs: true, structured_output: text, price: {input: 0.1, output: 0.4, cached: 0}}",
        limits="{requests_per_minute: 500, tokens_per_minute: 200_000, max_cost_usd: 5, max_runtime: 6h, "
        "max_failed: 10, max_outage: 30m, drain: 5, request_timeout: 90s}",
        output="{path: b.parquet, columns: {prefix: tag_, only: [key]}}",
        state="{dir: s}",
    )
    assert config.input.csv.delimiter == ";"
    assert config.model.base_url == "https://h/v1"
    assert config.model.api_key_file == job.folder / "key"
    assert config.model.price.cached == 0.0
    assert config.limits.tokens_per_minute == 200_000
    assert (config.limits.max_runtime, config.limits.request_timeout) == (21_600.0, 90.0)
    assert config.limits.max_failed == FailureAllowance(10, is_percent=False)
    assert config.task.examples[0].labels == ()
    assert config.output.columns.only == ("key",)
    assert config.state.dir == job.folder / "s"


def test_a_label_may_be_a_text_or_a_mapping(job, task_text):
    labels = job.load(task=task_text(labels="[a, {name: b, description: c}]")).task.labels
    assert [(label.name, label.description) for label in labels] == [("a", ""), ("b", "c")]


def test_a_section_with_nothing_below_it_is_as_if_left_out(job):
    config = job.load(model="", limits="", state="", input="{path: rows.parquet, csv: }")
    assert config.limits == job.load().limits
    assert config.state == job.load().state


def test_the_columns_are_those_of_the_template_in_its_order(job, task_text):
    assert job.load(task=task_text(text="'{b} {a} {b}'")).task.columns == ("b", "a")


def test_a_config_cannot_be_changed(job):
    with pytest.raises(ValueError, match="frozen"):
        job.load().limits.max_concurrency = 1


def test_paths_are_relative_to_the_config_and_not_to_the_working_directory(tmp_path, job, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    job.write(input="{path: ../in/rows.parquet}", output="{path: /out/x.parquet}")
    monkeypatch.chdir(elsewhere)
    config = load_config("../job.yaml", env={})
    assert config.path == job.folder / "job.yaml"
    assert config.input.path == str(job.folder.parent / "in" / "rows.parquet")
    assert config.output.path == Path("/out/x.parquet")


def test_the_state_is_kept_beside_the_folder_configs(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "tags.yaml").write_text(
        "input: {path: a.parquet}\ntask: {instructions: a, text: '{b}', labels: [c, d]}\noutput: {path: e.parquet}\n"
    )
    assert load_config(folder / "tags.yaml", env={}).state.dir == tmp_path / ".pipeline" / "tags"


def test_a_file_that_is_not_there_is_missing_input(tmp_path):
    with pytest.raises(NoInputError, match=r"none\.yaml: is not there; check the path") as caught:
        load_config(tmp_path / "none.yaml")
    assert caught.value.exit_status == 66


@pytest.mark.parametrize("path", ["a\0b", "a\nb", "x" * 300, ""])
def test_an_impossible_path_is_missing_input_in_one_line(path):
    with pytest.raises(NoInputError) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_directory_is_missing_input(tmp_path):
    with pytest.raises(NoInputError, match="is a directory; name the YAML file in it"):
        load_config(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_missing_input(job):
    path = job.write()
    path.chmod(0)
    with pytest.raises(NoInputError, match="Permission denied"):
        load_config(path)


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(job):
    path = job.write()
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"job\.yaml:2: byte 8 is not UTF-8; save the file as UTF-8"):
        load_config(path)


def test_a_file_of_data_is_refused_before_it_is_parsed(job):
    path = job.write("# " + "x" * (5 << 20))
    with pytest.raises(ConfigError, match="is larger than 4194304 bytes"):
        load_config(path)


def test_a_byte_order_mark_is_fine(job):
    path = job.write()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_config(path, env={}).task.kind == "single"


def test_an_anchor_may_repeat_a_value(job, task_text):
    text = task_text(labels="&all [x, z]", kind="multi", examples="[{text: a, labels: *all}]")
    assert job.load(task=text).task.examples[0].labels == ("x", "z")


def test_a_thousand_labels_are_read(job, task_text):
    labels = str([f"label {index}" for index in range(1_000)])
    assert len(job.load(task=task_text(labels=labels)).task.labels) == 1_000


# --set


def test_an_override_is_stronger_than_the_file(job):
    overrides = [
        "limits.max_concurrency=8",
        "limits.max_runtime=6h",
        "task.labels=[a, 'no']",
        "model.name= gpt: x #1",
    ]
    config = job.load(limits="{max_concurrency: 2}", overrides=overrides)
    assert (config.limits.max_concurrency, config.limits.max_runtime) == (8, 21_600.0)
    assert [label.name for label in config.task.labels] == ["a", "no"]
    assert config.model.name == "gpt: x #1"


def test_a_later_override_is_stronger_than_an_earlier_one(job):
    config = job.load(overrides=["limits.drain=1", "limits.drain=2"])
    assert config.limits.drain == 2.0


def test_an_override_makes_the_sections_that_it_needs(job):
    assert job.load(overrides=["input.csv.delimiter=;"], model="").input.csv.delimiter == ";"
    assert job.load(overrides=["model.price={input: 1, output: 2}"], model="").model.price.output == 2.0


def test_an_override_may_reset_a_value(job):
    assert (
        job.load(limits="{max_cost_usd: 5}", overrides=["limits.max_cost_usd="]).limits.max_cost_usd is None
    )
    assert (
        job.load(limits="{max_cost_usd: 5}", overrides=["limits.max_cost_usd=null"]).limits.max_cost_usd
        is None
    )


def test_wrong_overrides_are_named_as_options_and_all_at_once(job):
    overrides = [
        "limits.max_concurrency=0",
        "nonsense",
        "limits.concurency=1",
        "task.labels.0=x",
        "task.text=[",
        "a..b=1",
    ]
    misuse = "--set: is no section.key=VALUE; write for example --set limits.max_concurrency=8"
    assert job.problems(overrides=[*overrides, "model.api_key=sk-4711", "task.labels=[no, x]"], status=2) == [
        misuse,
        "--set: task.labels.0: there is no mapping to put it in; set the whole value above it",
        "--set: task.text: the value is no YAML; put it in quotes as a whole",
        misuse,
        (
            "--set: model.api_key: looks like an API key, which does not belong in the config; "
            "use api_key_env with the name of the variable that holds it"
        ),
        "--set: task.labels[0]: no is true or false to YAML; quote it",
        "--set: limits.max_concurrency: 0 is not a whole number above 0; write digits only, such as 500 or 200_000",
        "--set: limits.concurency: is an unknown key; did you mean max_concurrency?",
    ]


@ANYTHING
@given(st.text(st.characters(codec="utf-8"), max_size=30).filter(str.strip))
@example("a: b # c")
@example("- x")
@example("*alias")
def test_a_text_given_as_a_quoted_override_comes_through_as_it_is(job, text):
    quoted = "'" + text.replace("'", "''") + "'"
    if any(not (character.isprintable() or character == " ") for character in text):
        return
    assert job.load(overrides=[f"task.instructions={quoted}"]).task.instructions == text


@ANYTHING
@given(st.integers(1, 10**9), st.booleans())
def test_a_count_given_as_an_override_comes_through_as_it_is(job, count, with_marks):
    written = f"{count:_}" if with_marks else str(count)
    assert job.load(overrides=[f"limits.requests_per_minute={written}"]).limits.requests_per_minute == count


@ANYTHING
@given(st.text(max_size=60))
@example("task: yes")
@example("model: sk-x")
@example("a: ${")
@example("? ")
@example("{a: b}: c")
@example("task: {labels: [[], {}, {name: []}], examples: [[], {label: []}]}")
@example("input: {path: {a: b}}\nlimits: [1]\nmodel: {headers: [1], price: {input: {}}}")
def test_any_text_is_a_config_or_refused_in_single_lines(job, text):
    path = job.folder / "job.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError) as caught:
        load_config(path, env={})
    assert caught.value.problems
    assert all(problem.isprintable() for problem in caught.value.problems)


@ANYTHING
@given(
    st.text(max_size=20),
    st.sampled_from(["task.labels", "input.path", "model.headers", "limits.max_failed", "x"]),
)
def test_any_override_gives_a_config_or_is_refused(job, text, key):
    path = job.write()
    with suppress(ConfigError, UsageError):
        load_config(path, overrides=[f"{key}={text}"], env={})


# --provider


OWN_ENDPOINT = (
    "{provider: openai-compatible, name: m, base_url: https://h/v1, api_key_env: KEY, headers: {A: '${UNSET}'}, "
    "price: {input: 1, output: 1}, temperature: 1}"
)


def test_another_provider_drops_what_belongs_to_the_configured_endpoint(job):
    model = job.load(model=OWN_ENDPOINT, provider="local").model
    assert (model.provider, model.base_url, model.api_key_env, model.headers, model.price) == (
        "local",
        None,
        None,
        {},
        None,
    )
    assert (model.name, model.temperature) == ("m", 1.0)


def test_the_same_provider_keeps_what_belongs_to_it(job):
    model = job.load(model=OWN_ENDPOINT, provider="openai-compatible", env={"UNSET": "x"}).model
    assert (model.base_url, model.headers) == ("https://h/v1", {"A": "x"})


def test_the_same_provider_is_known_through_a_variable(job):
    text = "{provider: '${WHO:-openai}', api_key_env: KEY}"
    assert job.load(model=text, provider="openai").model.api_key_env == "KEY"
    assert job.load(model=text, provider="openai", env={"WHO": "oxen"}).model.api_key_env is None


def test_the_default_provider_counts_as_configured(job):
    assert job.load(model="{api_key_env: KEY}", provider="oxen").model.api_key_env == "KEY"
    assert job.load(model="{api_key_env: KEY}", provider="simulate").model.api_key_env is None


def test_an_override_adds_to_another_provider(job):
    model = job.load(
        model=OWN_ENDPOINT,
        provider="openai-compatible",
        overrides=["model.base_url=http://localhost:1/v1"],
        env={"UNSET": ""},
    ).model
    assert model.base_url == "http://localhost:1/v1"


def test_an_unknown_provider_is_named_as_an_option(job):
    assert job.problems(provider="lokal", status=2) == [
        '--provider: model.provider: "lokal" is not known; did you mean local?'
    ]


def test_with_a_fault_in_the_file_too_it_is_the_config_that_is_wrong(job):
    assert job.problems(provider="lokal", overrides=["x"], limits="{drain: soon}", status=78) == [
        "--set: is no section.key=VALUE; write for example --set limits.max_concurrency=8",
        '--provider: model.provider: "lokal" is not known; did you mean local?',
        "job.yaml:4: limits.drain: soon is not a duration above 0; write one such as 90s, 30m, 6h or 1d, or a number of seconds",
    ]


# ${NAME}


def test_variables_are_filled_in_outside_the_task(job, task_text):
    config = job.load(
        input="{path: '${DATA}/rows.parquet'}",
        task=task_text(instructions="Cost ${DATA}", text="'${DATA} {{x}} {a}'"),
        limits="{max_concurrency: '${WORKERS}', max_runtime: '${HOURS:-2}h'}",
        model="{allow_insecure: '${OPEN:-true}', headers: {A: '${TOKEN}'}}",
        output="{path: 'x-${now:%Y-%m-%d}.parquet'}",
        env={"DATA": "/data", "WORKERS": "12", "TOKEN": "no"},
    )
    assert config.input.path == "/data/rows.parquet"
    assert config.task.instructions == "Cost ${DATA}"
    assert (config.limits.max_concurrency, config.limits.max_runtime) == (12, 7_200.0)
    assert (config.model.allow_insecure, config.model.headers) == (True, {"A": "no"})
    assert config.output.path.name == "x-2026-11-23.parquet"


def test_the_time_is_by_default_the_local_one(job):
    path = job.write(output="{path: 'x-${now:%Y}.parquet'}")
    years = {datetime.now().astimezone().year}
    name = load_config(path, env={}).output.path.name
    assert name in {f"x-{year}.parquet" for year in years | {datetime.now().astimezone().year}}


def test_the_environment_is_by_default_that_of_the_process(job, monkeypatch):
    monkeypatch.setenv("PIPELINE_TEST_WORKERS", "3")
    path = job.write(limits="{max_concurrency: '${PIPELINE_TEST_WORKERS}'}")
    assert load_config(path).limits.max_concurrency == 3


@pytest.mark.parametrize(
    "sections",
    [
        {
            "input": "{path: '${SECRET}', id: '${SECRET}', csv: {delimiter: '${SECRET}', encoding: '${SECRET}'}}"
        },
        {
            "limits": "{max_concurrency: '${SECRET}', max_failed: '${SECRET}', drain: '${SECRET}s', max_runtime: '${SECRET}'}"
        },
        {
            "model": "{provider: '${SECRET}', base_url: '${SECRET}', api_key_env: '${SECRET}', seed: '${SECRET}'}"
        },
        {
            "model": "{base_url: 'https://u:${SECRET}@h', headers: {A: '${BAD}'}, price: {input: '${SECRET}', output: 1}}"
        },
        {"output": "{path: '${SECRET}/x.xlsx'}"},
        {"limits": "'${SECRET}'"},
    ],
)
def test_what_comes_from_the_environment_is_in_no_message(job, sections):
    lines = job.problems(**sections, env={"SECRET": CANARY, "BAD": f"{CANARY}\n"})
    assert CANARY not in str(lines)


def test_headers_are_not_in_the_text_of_a_config(job):
    config = job.load(model="{headers: {Authorization: 'Bearer ${TOKEN}'}}", env={"TOKEN": CANARY})
    assert config.model.headers == {"Authorization": f"Bearer {CANARY}"}
    assert CANARY not in repr(config)
    assert CANARY not in str(config)


def test_a_config_is_loaded_without_the_heavy_libraries():
    code = "import sys, pipeline.config; sys.exit(bool({'polars', 'pyarrow', 'aiohttp', 'numpy'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    assert os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-c", code], {"PYTHONPATH": str(root)}) == 0

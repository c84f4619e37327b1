"""The metrics file: what a run counted, how it ended, and what is still known of the last good one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import pipeline
from pipeline.cli import app
from pipeline.errors import LockedError
from pipeline.telemetry.prometheus import MetricsFile
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, texts

END = "pipeline_run_end_timestamp_seconds"
STATUS = "pipeline_run_exit_status"
SUCCESS = "pipeline_last_success_timestamp_seconds"

Run = Callable[..., int]


@pytest.fixture
def nightly(job: JobFiles) -> JobFiles:
    job.table(texts(100))
    return job


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tags.prom"


@pytest.fixture
def run(nightly: JobFiles, file: Path) -> Run:
    """Run the job with a metrics file, in this process; returns the exit status."""

    def run(*arguments: str) -> int:
        return app.main(
            ["run", str(nightly.config_file()), "--quiet", "--metrics-file", str(file), *arguments]
        )

    return run


def metrics(path: Path) -> dict[str, float]:
    """What prometheus-client's own parser reads: values by name, and by the label that is not the job's."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.documentation
        for sample in family.samples:
            assert sample.labels.pop("config").endswith("/job.yaml")
            found[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return found


def take_away_the_provider(job: JobFiles) -> None:
    job.set(model={"base_url": "http://127.0.0.1:9/v1"}, limits={"max_outage": "0.2s"})


def test_the_metrics_file_says_what_the_result_says(nightly: JobFiles, file: Path, run: Run) -> None:
    nightly.set(model={"price": {"input": 1, "output": 2}})
    assert run() == 0
    found, result = metrics(file), pipeline.run(nightly.config())
    assert found["pipeline_rows ok"] == result.ok == found["pipeline_requests"] == 100
    assert found["pipeline_rows error"] == found["pipeline_retries"] == found["pipeline_throttled"] == 0
    assert found["pipeline_tokens prompt"] > 100
    assert found["pipeline_cost_usd"] == pytest.approx(
        (found["pipeline_tokens prompt"] + 2 * found["pipeline_tokens completion"]) / 1e6
    )
    assert found[STATUS] == 0
    assert found[SUCCESS] == found[END]


@pytest.mark.slow
def test_a_night_that_fails_keeps_what_is_known_of_the_last_good_one(
    nightly: JobFiles, file: Path, run: Run
) -> None:
    run()
    good = metrics(file)
    nightly.table(texts(120))
    take_away_the_provider(nightly)
    assert run() == 69
    bad = metrics(file)
    assert (bad.pop(STATUS), good.pop(STATUS)) == (69, 0)
    assert bad.pop(END) > good.pop(END)
    assert bad == good


@pytest.mark.slow
def test_with_dated_outputs_too_a_night_that_fails_knows_of_the_last_good_one(
    nightly: JobFiles, file: Path, run: Run
) -> None:
    nightly.set(output={"path": "out/${now:%Y-%m-%d}.parquet"})
    assert run("--date", "2026-01-31") == 0
    good = metrics(file)
    nightly.table(texts(120))
    take_away_the_provider(nightly)
    assert run("--date", "2026-02-01") == 69
    assert (metrics(file)[SUCCESS], metrics(file)["pipeline_rows ok"]) == (good[SUCCESS], 100)


def test_too_many_failed_rows_are_published_and_no_success(
    nightly: JobFiles, file: Path, run: Run, server: FaultServer
) -> None:
    assert run() == 0
    good = metrics(file)
    server.when(lambda text: text in texts(50, start=100), "content_filter")
    nightly.table(texts(150))
    assert run() == 1
    bad = metrics(file)
    assert (bad[STATUS], bad["pipeline_rows filtered"], bad[SUCCESS]) == (1, 50, good[SUCCESS])


def test_a_job_that_had_finished_succeeds_with_the_figures_of_the_night(file: Path, run: Run) -> None:
    run()
    night = metrics(file)
    file.unlink()  # nothing is read from it
    assert run() == 0
    dawn = metrics(file)
    assert {name for name in night if night[name] != dawn[name]} == {END, SUCCESS}


def test_a_file_holds_the_metrics_of_the_last_config_that_wrote_it(file: Path, run: Run) -> None:
    MetricsFile(file, Path("/other/job.yaml")).write(0)
    run()
    assert "/other/job.yaml" not in file.read_text()


def test_configs_that_share_a_state_directory_do_not_share_a_success(tmp_path: Path, file: Path) -> None:
    for folder, status in (("one", 0), ("two", 69)):
        mine = MetricsFile(file, tmp_path / folder / "job.yaml")
        mine.config_loaded(tmp_path, is_whole=True)
        mine.write(status)
    assert (metrics(file)[STATUS], SUCCESS in metrics(file)) == (69, False)


def test_a_cost_that_is_no_longer_known_goes_away(nightly: JobFiles, file: Path, run: Run) -> None:
    nightly.set(model={"price": {"input": 1, "output": 2}})
    run()
    assert "pipeline_cost_usd" in metrics(file)
    del nightly.settings["model"]["price"]
    nightly.set(model={"name": "another-model"})
    assert run() == 0
    assert "pipeline_cost_usd" not in metrics(file)


def test_a_config_that_is_wrong_is_in_the_metrics_without_a_success(
    nightly: JobFiles, file: Path, run: Run
) -> None:
    run()
    nightly.set(limits={"max_concurency": 3})
    assert run() == 78
    assert metrics(file) == {STATUS: 78, END: metrics(file)[END]}


@pytest.mark.parametrize("arguments", [["--limit", "3"], ["--sample", "3"], ["--dry-run"]])
def test_a_part_of_the_rows_writes_no_metrics(file: Path, run: Run, arguments: list[str]) -> None:
    assert run(*arguments) == 0
    assert not file.exists()


@pytest.mark.parametrize("asked_for", ["on the command line", "in the config"])
def test_a_rehearsal_writes_no_metrics(nightly: JobFiles, file: Path, run: Run, asked_for: str) -> None:
    nightly.set(simulate={"latency": 0})
    if asked_for == "in the config":
        del nightly.settings["model"]["base_url"]
        nightly.set(model={"provider": "simulate"})
    assert run(*(["--provider", "simulate"] if asked_for == "on the command line" else [])) == 0
    assert not file.exists()


@pytest.mark.parametrize("wrong", [["--set", "limits.max=3"], ["--retry", "often"], ["--date", "soon"]])
@pytest.mark.parametrize("asked_for", ["in the config", "by --set"])
def test_a_rehearsal_that_cannot_begin_writes_no_metrics_either(
    nightly: JobFiles, file: Path, run: Run, asked_for: str, wrong: list[str]
) -> None:
    del nightly.settings["model"]["base_url"]
    nightly.set(model={"provider": "simulate" if asked_for == "in the config" else "oxen"})
    by_option = ["--set", "model.provider=simulate"] if asked_for == "by --set" else []
    assert run(*by_option, *wrong) == 2
    assert not file.exists()


def test_after_the_state_was_moved_the_report_and_the_figures_of_the_last_run_are_still_found(
    nightly: JobFiles, file: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    night = metrics(file)
    (nightly.folder / "state").rename(nightly.folder / "elsewhere")
    nightly.set(state={"dir": "elsewhere"})
    capsys.readouterr()
    assert run() == 0
    report = Path(json.loads(capsys.readouterr().out)["report"])
    assert report.is_relative_to(nightly.folder / "elsewhere")
    assert report.is_file()
    assert set(metrics(file)) == set(night)


@pytest.mark.slow
def test_a_night_that_fails_after_the_state_was_moved_knows_of_the_last_good_one(
    nightly: JobFiles, file: Path, run: Run
) -> None:
    run()
    night = metrics(file)
    (nightly.folder / "state").rename(nightly.folder / "elsewhere")
    nightly.set(state={"dir": "elsewhere"})
    nightly.table(texts(120))
    take_away_the_provider(nightly)
    assert run() == 69
    assert set(metrics(file)) == set(night)


def test_a_run_that_gives_way_to_another_leaves_the_file_alone(file: Path) -> None:
    with pytest.raises(LockedError), MetricsFile(file, Path("job.yaml")).reporting():
        raise LockedError("in use")
    assert not file.exists()


@pytest.mark.parametrize("content", [None, b"{", b"{}"])
def test_a_report_that_cannot_be_read_costs_its_figures_and_a_warning(
    nightly: JobFiles, file: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    result = pipeline.run(nightly.config())
    Path(result.report).unlink()
    if content is not None:
        Path(result.report).write_bytes(content)
    MetricsFile(file, nightly.config_file()).write(0, result)
    assert "--metrics-file: the figures of the last run are left out" in caplog.text
    assert set(metrics(file)) == {STATUS, END, SUCCESS}


def test_a_file_that_cannot_be_written_any_more_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "collector"
    folder.mkdir()
    file = MetricsFile(folder / "tags.prom", Path("job.yaml"))
    folder.rmdir()
    file.write(0)
    assert f"--metrics-file: {folder}/tags.prom: could not be written" in caplog.text


def test_a_file_that_nobody_would_read_is_a_usage_error(nightly: JobFiles) -> None:
    assert app.main(["run", str(nightly.config_file()), "--metrics-file", "tags.txt"]) == 2


def test_a_file_that_cannot_be_written_is_found_before_the_first_request(
    nightly: JobFiles, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["run", str(nightly.config_file()), "--metrics-file", "/nowhere/tags.prom"]) == 73
    assert server.requests == 0
    assert "--metrics-file" in capsys.readouterr().err

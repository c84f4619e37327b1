"""The page of a report in a real browser: it asks for nothing, runs nothing, and fits a telephone and a screen."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.reports.page import page
from tests.reports.made import made

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium; .ci/test-tools installs it"),
]

playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as started:
        # Without a sandbox of its own, which root cannot have: the page is ours.
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(page(made(hostile=True, labels=20)))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_whole_and_quiet(
    browser: "playwright.Browser", file: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("dialog", lambda dialog: said.append(dialog.message))
    shown.goto(file.as_uri())
    # All that is folded away, too.
    shown.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert asked == [file.as_uri()], "nothing but the page itself"
    assert said == []
    assert shown.title().startswith("tickets"), "no text of a row has run"
    assert shown.evaluate("document.documentElement.scrollWidth") <= width, "nothing to scroll to the side"
    visible = "[...document.querySelectorAll('svg')].filter(each => each.getBoundingClientRect().height > 80)"
    assert shown.evaluate(f"{visible}.length") == 11, "each chart once, large enough to read"
    painted = (
        "getComputedStyle(document.querySelector('figure svg path[stroke], figure svg path[fill]')).fill"
    )
    assert shown.evaluate(painted).startswith("rgb"), "colours of the page reach into the charts"
    context.close()


def test_light_and_dark_differ_in_the_page_and_in_its_charts(
    browser: "playwright.Browser", file: Path
) -> None:
    found = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        shown = context.new_page()
        shown.goto(file.as_uri())
        ground = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        text = shown.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
        found.append((ground, text))
        context.close()
    light, dark = found
    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_a_long_text_is_not_cut_where_it_is_printed(
    browser: "playwright.Browser", file: Path, tmp_path: Path
) -> None:
    shown = browser.new_page(color_scheme="dark")
    shown.goto(file.as_uri())
    shown.emulate_media(media="print")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.evaluate("getComputedStyle(document.querySelector('.row .text')).maxHeight") == "none"
    assert shown.pdf(path=str(tmp_path / "report.pdf")).startswith(b"%PDF")
    shown.close()

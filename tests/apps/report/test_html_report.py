"""The report of a tiny run: complete, one file, and alive in a real browser without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Events
from markupsafe import escape
from monai.networks.nets import UNet
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from torch.utils.data import DataLoader

from utad_monai.apps.report.html_report import write_report
from utad_monai.apps.report.study_figures import write_study_figures
from utad_monai.apps.study import StudyPlan
from utad_monai.data import EvaluationCases, Preprocessing, prepare_cohort, single_case
from utad_monai.engines import TranslationEvaluator, gap_questions
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import EvaluationProtocol, SecondInput
from utad_monai.metrics import DownstreamSegmentation
from utad_monai.metrics.protocols import PROTOCOL_IN_WORDS
from utad_monai.models import Segmenter, TranslatorModel, save_segmenter, save_translator
from utad_monai.models.stages import HEALTH_FILE, MissingStageError, Stage, model_path
from utad_monai.networks import TumourAwareGenerator

UNET = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [4, 8], "strides": [2]}
BROWSER_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    "--window-size=1200,1400",
)

OTHERS = {
    "utad128": {
        "student": {"utad128_ssim": {"mean": 0.5, "low": 0.4, "high": 0.6, "cases": 2}},
        "copy_source": {"utad128_ssim": {"mean": 0.25, "low": None, "high": None, "cases": 1}},
    }
}
ATTACK = "<img src=x onerror=\"document.title='attacked'\">"
CLICK = """document.body.insertAdjacentHTML('beforeend', '<a id=j href="javascript:document.title=1">x</a>');
document.getElementById('j').click()"""
INJECT = """const script = document.createElement('script');
script.textContent = "document.title = 'attacked'"; document.body.append(script)"""


@pytest.fixture(scope="module")
def report(tiny_cohort: Path, tiny_preprocessing: Preprocessing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluate untrained models on the tiny cohort and write the report."""
    output = tmp_path_factory.mktemp("run")
    generator = TumourAwareGenerator(2, second_input=SecondInput.WHOLE_IMAGE)
    save_translator(model_path(output, Stage.STUDENT), TranslatorModel(generator, tiny_preprocessing))
    network = UNet(**UNET)
    save_segmenter(model_path(output, Stage.SEGMENTATION), Segmenter(network, tiny_preprocessing, arguments=UNET))
    cohort = prepare_cohort(tiny_cohort, output, tiny_preprocessing, workers=1, progress=False)
    cases = EvaluationCases(cohort.store, cohort.cases("test"))
    evaluator = TranslationEvaluator(
        "cpu",
        DataLoader(cases, batch_size=1, collate_fn=single_case),
        translators={"student": SliceTranslator(generator)},
        segmentation=DownstreamSegmentation(network),
        gaps=gap_questions(
            DownstreamSegmentation(network),
            Segmenter(UNet(**UNET), tiny_preprocessing, arguments=UNET),
            best_source=TranslatorModel(generator, tiny_preprocessing).best_source,
        ),
        output_dir=output / "evaluation",
        protocol={"split": "test", "cohort": "<script>alert(1)</script>", "test_cases": ["a", ATTACK]},
    )
    assert evaluator.has_event_handler(evaluator._write, Events.COMPLETED)
    evaluator.run()
    for stage, warned in ((Stage.TEACHER, "copies_input"), (Stage.STUDENT, "")):
        (output / stage).mkdir(exist_ok=True)
        (output / stage / HEALTH_FILE).write_text(f"epoch,warnings\n1,\n2,{warned}\n3,{warned}\n")
    summary = json.loads((output / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    summary["other_protocols"] = OTHERS
    (output / "evaluation" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return write_report(output, tiny_cohort)


@pytest.fixture(scope="module")
def study_report(finished_study: Path, tiny_plan: StudyPlan, tiny_cohort: Path, tmp_path_factory: Any) -> Path:
    """Write the report of a finished study, which has no evaluation."""
    output = tmp_path_factory.mktemp("report") / "study"
    shutil.copytree(finished_study, output)
    write_study_figures(tiny_plan, tiny_cohort, output)
    return write_report(output, tiny_cohort)


def test_a_study_shows_every_method_protocol_and_figure(study_report: Path, tiny_plan: StudyPlan) -> None:
    page = study_report.read_text(encoding="utf-8")
    for method in tiny_plan.methods:
        assert f'<th scope="row">{method.name}</th>' in page
        assert str(escape(method.note)) in page
    for text in ("S-score", "every subset of missing modalities", "synthetic images added", "Every comparison with"):
        assert text in page
    figures = json.loads((study_report.parent / "figures" / "captions.json").read_text(encoding="utf-8"))
    assert page.count('<img src="data:image/png;base64,') == len(figures)
    assert all(caption in page for caption in figures.values())
    assert 'id="browser"' in page


def test_the_report_is_one_file_without_links_to_elsewhere(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    head = page[: page.index('<script id="niivue">')]
    assert 'src="http' not in head
    assert "<link" not in head
    assert "Content-Security-Policy" in head
    assert "Not for clinical use" in head


def test_text_from_the_run_cannot_become_markup(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_every_measured_method_and_fill_is_in_the_tables(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    for name, label in (
        *(("student", "student"), ("copy_source", "copy of the source"), ("real", "real")),
        *(("synthesized", "synthetic"), ("zero_fill", "left black")),
    ):
        assert f'<th scope="row" title="{name}">{label}</th>' in page
    for heading in ("SSIM ↑", "MAE ↓", "tumour SSIM ↑", "copy of the source: tumour MAE ↓", "synthetic: WT Dice ↑"):
        assert f">{heading}</th>" in page


def test_every_table_of_numbers_begins_with_its_conclusion(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    for text in (
        "In SSIM the student",
        "In whole-tumour Dice",
        "SSIM is greatest in",
        "Synthesis adds",
        "Over all sets",
    ):
        assert re.search(f'<p class="conclusion">[^<]*{text}', page), text


def test_protocols_of_others_are_shown_where_they_were_followed(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    table = page[page.index("By the protocol utad128") :].split("</table>")[0]
    assert '0.500 <span class="interval">[0.400, 0.600]</span>' in table
    assert "<td>0.250</td>" in table
    assert "Best in SSIM: student (0.500)." in page
    assert str(escape(PROTOCOL_IN_WORDS[EvaluationProtocol.UTAD128])) in page


def test_every_set_of_missing_modalities_has_its_best_route_and_what_synthesis_adds(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    table = page[page.index("<caption>Missing modalities") :].split("</table>")[0]
    for available in ("flair", "t1ce, t2", "flair, t1, t1ce"):
        assert f'<th scope="row">{available}</th>' in table
    assert table.count("<tr>") == 1 + 14
    summary = json.loads((report.parent / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    best = [region for of in summary["missing_modalities"]["best"].values() for region in of.values()]
    assert all(f'<td class="text" title="{region["route"]}">' in table for region in best)
    assert "left black: WT Dice ↑" in table
    assert table.count("nothing <span") == sum(not region["synthesis_adds"] for region in best)
    assert "zero_fill+tolerant" in page


def test_without_an_evaluation_the_command_to_run_is_named(tmp_path: Path, tiny_cohort: Path) -> None:
    with pytest.raises(MissingStageError, match=r"utad-monai run evaluate -- --output_dir"):
        write_report(tmp_path, tiny_cohort)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver: install Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


def drawn(browser: webdriver.Chrome) -> str:
    state = "return document.body.dataset.drawn"
    return str(WebDriverWait(browser, 20).until(lambda page: page.execute_script(state)))


@pytest.fixture
def page(browser: webdriver.Chrome, report: Path) -> webdriver.Chrome:
    browser.get(report.as_uri())
    drawn(browser)
    return browser


def test_it_opens_without_console_errors_or_network_requests(page: webdriver.Chrome, report: Path) -> None:
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    requested = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    ours = [request["request"]["url"] for request in requested if request["documentURL"] == report.as_uri()]
    assert [url for url in ours if not url.startswith(("data:", "blob:", report.as_uri()))] == []


def test_health_of_the_trainings_is_told(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert "copies input (epochs 2, 3): translations are copies of their input" in page
    assert "student: no warnings in 3 epochs" in page


def test_policy_allows_no_unsafe_source(report: Path, study_report: Path) -> None:
    for path in (report, study_report):
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', path.read_text(encoding="utf-8"))
        assert policy is not None
        assert "unsafe" not in policy[1]
        assert policy[1].startswith("default-src &#39;none&#39;")


def test_names_from_elsewhere_run_nothing_even_where_they_become_markup(page: webdriver.Chrome) -> None:
    assert page.title == "UTAD-MONAI report"
    page.execute_script("document.querySelector('main').insertAdjacentHTML('beforeend', arguments[0])", ATTACK)
    page.execute_script(INJECT)
    page.execute_script(CLICK)
    page.execute_async_script("setTimeout(arguments[0], 300)")
    assert page.title == "UTAD-MONAI report"
    refused = [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert sum("Content Security Policy" in message for message in refused) >= 3


def test_the_slider_moves_by_keyboard_through_the_volume(page: webdriver.Chrome) -> None:
    before = drawn(page)
    page.find_element(By.ID, "slice").send_keys(Keys.ARROW_LEFT)
    WebDriverWait(page, 10).until(lambda _: drawn(page) != before)
    assert int(drawn(page).split("/")[-1]) == int(before.split("/")[-1]) - 1


def test_slices_show_brain_and_change_with_the_target(page: webdriver.Chrome) -> None:
    levels = (
        "const c = document.getElementById('panel-real');"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    Select(page.find_element(By.ID, "overlay")).select_by_value("none")
    first: list[Any] = page.execute_script(levels)
    assert max(level for place, level in enumerate(first) if place % 4 < 3) > 100
    Select(page.find_element(By.ID, "target")).select_by_visible_text("flair")
    WebDriverWait(page, 10).until(lambda _: "/flair/" in drawn(page))
    assert page.execute_script(levels) != first


def test_a_heading_sorts_its_table(page: webdriver.Chrome) -> None:
    tables = page.find_elements(By.CSS_SELECTOR, "table.sortable")
    headings = [button for table in tables for button in table.find_elements(By.TAG_NAME, "button")]
    heading = next(button for button in headings if button.text == "student: SSIM ↑")
    table = heading.find_element(By.XPATH, "ancestor::table")
    column = [button.text for button in table.find_elements(By.TAG_NAME, "button")].index("student: SSIM ↑")
    heading.click()
    values = [
        float(row.find_elements(By.TAG_NAME, "td")[column].text) for row in table.find_elements(By.XPATH, "tbody/tr")
    ]
    assert len(values) == 12
    assert values == sorted(values)


def test_the_viewers_place_shows_the_volume_before_it_starts(page: webdriver.Chrome) -> None:
    levels = (
        "const c = document.getElementById('viewer-poster');"
        "return Math.max(...c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 < 3))"
    )
    assert page.execute_script(levels) > 100
    assert page.find_element(By.ID, "viewer-start").text == "Start the 3-D viewer"


def test_a_wide_table_says_that_it_scrolls_and_keeps_its_first_column(page: webdriver.Chrome) -> None:
    box = WebDriverWait(page, 60).until(lambda _: page.find_elements(By.CSS_SELECTOR, ".scroll.wide"))[-1]
    assert box.get_attribute("tabindex") == "0"
    page.execute_script("arguments[0].scrollLeft = 9999", box)
    left = "return arguments[0].getBoundingClientRect().left"
    cell = box.find_element(By.CSS_SELECTOR, "tbody td")
    assert page.execute_script("return arguments[0].scrollLeft", box) > 0
    assert page.execute_script(left, cell) == pytest.approx(page.execute_script(left, box), abs=2)


def test_the_viewer_shows_a_volume_or_says_why_not(page: webdriver.Chrome) -> None:
    page.find_element(By.ID, "viewer-synthetic").click()
    state = page.find_element(By.ID, "viewer-state")
    WebDriverWait(page, 60).until(lambda _: "synthetic" in state.text or "not available" in state.text)
    webgl = page.execute_script("return !!document.createElement('canvas').getContext('webgl2')")
    assert ("synthetic t1ce" in state.text) is webgl
    assert page.find_element(By.ID, "viewer-poster").is_displayed() is not webgl
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_phone_needs_no_sideways_scrolling(page: webdriver.Chrome) -> None:
    page.set_window_size(500, 900)
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 380, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    )
    overflow = page.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    if directory := os.environ.get("UTAD_MONAI_SCREENSHOTS"):
        page.save_screenshot(str(Path(directory) / "report.png"))
    assert overflow <= 1


def test_a_study_opens_without_errors_and_its_tables_sort_by_their_means(
    browser: webdriver.Chrome, study_report: Path
) -> None:
    browser.get(study_report.as_uri())
    drawn(browser)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    table = browser.find_element(By.CSS_SELECTOR, "table.sortable")
    next(button for button in table.find_elements(By.TAG_NAME, "button") if button.text == "MAE ↓").click()
    column = [button.text for button in table.find_elements(By.TAG_NAME, "button")].index("MAE ↓") - 1
    cells = [row.find_elements(By.TAG_NAME, "td")[column].text for row in table.find_elements(By.XPATH, "tbody/tr")]
    means = [float(cell.split()[0].rstrip("*")) for cell in cells]
    assert len(means) == 13
    assert means == sorted(means)
    assert means[0] == 0
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 380, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    )
    overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert overflow <= 1

"""Each kind of answer, and what can be done with it."""

import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Download, Page, Route, expect

from app.decoding.pool import DecodingPool
from models.base import Task
from tests import drawn
from tests.browser.conftest import assert_accessible
from tests.browser.service import CAPTION, LINES, TAGS, FakeService
from tests.browser.test_ways_in import SCENE, says
from tests.fakes import wait_until
from tests.server import Server


def ask(page: Page, task: str, *files: Path) -> None:
    """Choose a task, then send pictures."""
    page.get_by_label(task, exact=True).check()
    page.set_input_files("#file", list(files or (SCENE,)))


def downloaded(page: Page, name: str) -> Download:
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).last.click()
    return download.value


def text_of(download: Download) -> str:
    # As bytes: a download's line ends are its own.
    return download.path().read_bytes().decode()


def copied(page: Page, name: str) -> str:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_objects_are_found_by_a_model_that_does_several_things(page: Page, fakes: FakeService) -> None:
    ask(page, "Find objects")
    expect(page.locator(".answer h2")).to_have_text("florence-2-large")
    expect(page.locator(".box")).to_have_count(3)
    assert fakes.jobs[-1].options.task is Task.DETECT
    page.get_by_text("Model and options").click()
    expect(page.get_by_label("Find the phrases of")).to_be_hidden()
    page.get_by_label("Description").select_option("full")
    page.get_by_role("button", name="Find", exact=True).click()
    wait_until(lambda: fakes.jobs[-1].options.detail == "full")
    page.get_by_label("Describe with boxes", exact=True).check()
    page.locator("[name=model]").select_option("florence-2-large")
    page.get_by_label("Find the phrases of").fill("a dog")
    page.get_by_role("button", name="Describe", exact=True).click()
    wait_until(lambda: fakes.jobs[-1].options.prompt == "a dog")
    assert fakes.jobs[-1].options.task is Task.GROUNDED_CAPTION
    assert_accessible(page)


def test_phrases_and_boxes_light_up_each_other(page: Page) -> None:
    ask(page, "Describe with boxes")
    expect(page.locator(".phrase")).to_have_count(2)
    dog, beach = page.locator(".phrase").all()
    assert dog.evaluate("phrase => phrase.firstChild.data") == "a dog"
    assert beach.evaluate("phrase => phrase.firstChild.data") == "a beach"
    assert page.locator(".box").count() == 3
    boxes = page.locator(".box[data-mark='1']")
    assert boxes.count() == 2
    frame, box = page.locator(".frame").bounding_box(), page.locator(".box").first.bounding_box()
    assert frame
    assert box
    assert (box["x"] - frame["x"]) / frame["width"] == pytest.approx(0.05, abs=0.01)
    assert box["height"] / frame["height"] == pytest.approx(0.6, abs=0.01)
    assert_accessible(page)

    dog.hover()
    expect(page.locator(".box.lit")).to_have_count(1)
    boxes.last.hover()
    expect(beach).to_have_class("phrase c1 lit")
    boxes.last.click()
    assert (beach.get_attribute("aria-pressed"), dog.get_attribute("aria-pressed")) == ("true", "false")
    boxes.last.click()
    assert beach.get_attribute("aria-pressed") == "false"
    page.mouse.move(0, 0)
    dog.focus()
    expect(page.locator(".box.lit")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(page.locator(".box.lit")).to_have_count(2)
    page.keyboard.press("Enter")
    assert beach.get_attribute("aria-pressed") == "true"


def test_lines_lie_over_the_page_and_doubtful_ones_are_marked(page: Page) -> None:
    ask(page, "Read print")
    lines = page.locator(".line")
    expect(lines).to_have_text([text for text, _, _ in LINES])
    expect(page.locator(".line.low")).to_have_text(LINES[1][0])
    expect(page.locator(".doubt")).to_contain_text("41 %")
    expect(page.locator(".over g.low")).to_have_count(1)
    assert_accessible(page)
    frame, polygon = page.locator(".frame").bounding_box(), page.locator(".over g.low polygon").bounding_box()
    assert frame
    assert polygon
    assert (polygon["y"] - frame["y"]) / frame["height"] == pytest.approx(1.1 / 3, abs=0.02)
    page.locator(".over g").nth(2).hover()
    expect(lines.nth(2)).to_have_class("line lit")


def test_selecting_on_the_picture_selects_in_the_text(page: Page) -> None:
    ask(page, "Read print")
    first, second = (page.locator(".over text").nth(number).bounding_box() for number in range(2))
    assert first
    assert second
    # The unseen words are as wide as the line on the picture.
    assert first["width"] == pytest.approx(0.85 * page.locator(".frame img").bounding_box()["width"], rel=0.05)
    page.mouse.move(first["x"] + 5, first["y"] + first["height"] / 2)
    page.mouse.down()
    page.mouse.move(second["x"] + second["width"] - 5, second["y"] + second["height"] / 2, steps=5)
    page.mouse.up()
    assert "Dear Maya," in page.evaluate("getSelection().toString()")
    expect(page.locator(".line.chosen")).to_have_text([LINES[0][0], LINES[1][0]])


def test_tags_are_chips(page: Page) -> None:
    ask(page, "Tags")
    expect(page.locator(".chips li")).to_have_text(
        [f"{tag} {score} %" for tag, score in zip(TAGS, (90, 80, 70), strict=True)]
    )
    assert_accessible(page)
    assert copied(page, "Tags") == ", ".join(TAGS)
    assert copied(page, "Copy text") == CAPTION


def test_what_is_remembered_is_said_so(open_page: Callable[..., Page], tmp_path: Path, pool: DecodingPool) -> None:
    service = FakeService(tmp_path, pool, result_cache_mb=1)
    try:
        page = open_page(service.url)
        for fact in (re.compile(r"\d m?s"), "from memory"):
            ask(page, "Describe")
            expect(page.locator(".answer .facts")).to_have_text(fact)
            page.get_by_role("button", name="Another picture").click()
    finally:
        service.close()


def test_tags_wait_for_a_tagger_only_where_one_is_named(page: Page) -> None:
    def without_tagger(route: Route) -> None:
        models = route.fetch().json()
        for model in models["models"]:
            model["state"] = "absent" if model["task"] == "tag" else model["state"]
        route.fulfill(json=models)

    page.route("**/models", without_tagger)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    ask(page, "Tags")
    expect(page.locator(".chips li")).to_have_count(len(TAGS))
    assert "tagger" not in copied(page, "curl")
    page.get_by_text("Model and options").click()
    page.get_by_label("Tagger").select_option("t5-tags")
    expect(page.locator(".missing")).to_contain_text("t5-tags")


def test_alt_text_says_what_it_is_made_of(page: Page) -> None:
    ask(page, "Alt text")
    expect(page.locator(".answer .text")).to_contain_text("on a beach")
    expect(page.locator(".parts")).to_contain_text("Seen by blip-base")
    assert_accessible(page)


def test_handwriting_is_read_line_by_line(page: Page) -> None:
    ask(page, "Read handwriting")
    expect(page.locator(".line")).to_have_text(["a line"] * 3)
    expect(page.locator(".answer h2")).to_have_text("trocr-large-handwritten")


def test_a_question_is_asked(page: Page, fakes: FakeService) -> None:
    page.get_by_label("Ask", exact=True).check()
    page.get_by_label("Instruction or question").fill("How many ducks?")
    page.get_by_label("Language", exact=True).fill("German")
    page.get_by_label("JSON schema of the result").fill('{"type": "object"}')
    assert_accessible(page)
    page.set_input_files("#file", SCENE)
    says(page, "How many ducks?")
    asked = fakes.jobs[-1].options
    assert (asked.prompt, asked.output_language, asked.schema) == ("How many ducks?", "German", '{"type":"object"}')


def test_options_are_those_of_the_model_and_are_sent(page: Page, fakes: FakeService) -> None:
    page.get_by_label("Describe", exact=True).check()
    page.get_by_text("Model and options").click()
    page.get_by_label("Begin the text with").fill("a drawing of")
    page.get_by_label("Beams").fill("4")
    expect(page.get_by_label("Cut into lines")).to_be_hidden()
    assert_accessible(page)
    page.set_input_files("#file", SCENE)
    says(page, "a drawing of")
    assert (fakes.jobs[-1].options.prompt, fakes.jobs[-1].options.num_beams) == ("a drawing of", 4)
    page.get_by_label("Read print").check()
    expect(page.get_by_label("Beams")).to_be_hidden()
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator(".line")).to_have_count(3)
    page.reload()
    expect(page.get_by_label("Read print")).to_be_checked()


def test_copy_and_download(page: Page, fakes: FakeService) -> None:
    ask(page, "Read print")
    text = "Dear Maya,\nPlease water the tomatoes\n\nLove, Tom"
    assert copied(page, "Copy text") == text
    assert json.loads(copied(page, "JSON"))["text"] == text
    page.get_by_text("Download", exact=True).click()
    assert_accessible(page)
    saved = downloaded(page, "Text")
    assert (saved.suggested_filename, text_of(saved)) == ("scene.txt", text + "\n")
    assert "<div class='ocr_page'" in text_of(downloaded(page, "hOCR")).replace('"', "'")
    assert "<alto" in text_of(downloaded(page, "ALTO"))
    pdf = downloaded(page, "Searchable PDF")
    assert pdf.path().read_bytes().startswith(b"%PDF-")
    assert pdf.suggested_filename == "scene.pdf"


def test_the_curl_command_does_the_same(page: Page, tmp_path: Path) -> None:
    # A name of every kind of trouble for a shell and for curl.
    picture = tmp_path / 'it\'s; a "b\\c",$(d).jpg'
    picture.write_bytes(SCENE.read_bytes())
    ask(page, "Describe with boxes", picture)
    says(page, CAPTION.replace("a dog", "a dog1").replace("a beach", "a beach2"))
    command = copied(page, "curl")
    run = subprocess.run(["bash", "-c", f"{command} -sS"], cwd=tmp_path, capture_output=True, text=True, check=True)
    answer = json.loads(run.stdout)
    assert (answer["text"], answer["model"]) == (CAPTION, "kosmos-2")


def test_markup_in_an_answer_is_text(page: Page, fakes: FakeService) -> None:
    # The fake captioner repeats a prompt.
    markup = "<img src=x onerror=alert(1)>"
    page.get_by_label("Describe", exact=True).check()
    page.get_by_text("Model and options").click()
    page.get_by_label("Begin the text with").fill(markup)
    page.set_input_files("#file", SCENE)
    says(page, markup)
    assert page.locator(".answer img").count() == 0


def test_two_models_side_by_side(page: Page) -> None:
    ask(page, "Describe with boxes")
    expect(page.locator(".answer h2")).to_have_text("kosmos-2")
    page.get_by_label("Compare with").select_option("rapidocr")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator(".answer h2")).to_have_text(["kosmos-2", "rapidocr"])
    assert page.get_by_label("Compare with").locator("option[value=rapidocr]").count() == 0
    page.locator(".line").first.hover()
    expect(page.locator(".over g.lit")).to_have_count(1)
    expect(page.locator(".box, .phrase.lit")).to_have_count(0)
    assert_accessible(page)
    page.locator(".phrase").first.hover()
    expect(page.locator(".box.lit")).to_have_count(1)
    expect(page.locator(".over, .line.lit")).to_have_count(0)


def test_many_pictures_fill_a_list(page: Page, fakes: FakeService, tmp_path: Path) -> None:
    files = []
    for number in range(20):
        files.append(tmp_path / f"{number:02}.jpg")
        files[-1].write_bytes(SCENE.read_bytes())
    bad = tmp_path / "=bad.png"
    bad.write_bytes(b"no picture")
    fakes.go.clear()
    ask(page, "Describe", *files)
    heading = page.locator("#list h2")
    expect(heading).to_have_text("0 of 20 pictures")
    # One more joins those that are on their way.
    page.set_input_files("#file", bad)
    expect(heading).to_have_text("0 of 21 pictures")
    assert_accessible(page)
    fakes.go.set()
    expect(heading).to_have_text("20 of 21 pictures")
    assert page.locator("#list .row[data-state=done]").count() == 20
    rows = list(csv.reader(text_of(downloaded(page, "CSV")).splitlines()))
    assert rows[0][:4] == ["name", "state", "model", "text"]
    assert rows[1][:4] == ["00.jpg", "done", "blip-base", CAPTION]
    # What a spreadsheet would take for a formula.
    assert rows[21][:2] == ["'=bad.png", "failed"]
    records = json.loads(text_of(downloaded(page, "JSON")))
    assert [record["answer"]["text"] for record in records[:20]] == [CAPTION] * 20
    page.locator("#list .row").nth(20).click()
    expect(page.locator(".failure h2")).to_have_text("Unsupported media type")
    page.locator("#list .row").nth(7).click()
    expect(page.locator(".caption")).to_contain_text("07.jpg")
    expect(page.locator("#list [aria-current=true]")).to_contain_text("07.jpg")
    says(page, CAPTION)


def test_a_document_of_several_pages(page: Page, tmp_path: Path) -> None:
    document = tmp_path / "three.pdf"
    document.write_bytes(drawn.pdf([Image.new("RGB", (200, 280), "white")] * 3))
    ask(page, "Read print", document)
    expect(page.locator(".page h3")).to_have_text(["Page 1", "Page 2", "Page 3"])
    expect(page.locator(".blank")).to_be_visible()
    assert_accessible(page)


def test_the_real_service_reads_a_sample(open_page: Callable[..., Page], server: Server) -> None:
    page = open_page(server.url)
    page.get_by_role("button", name="A bar chart").click()
    expect(page.locator(".answer .text")).to_contain_text("Library visits by month", timeout=60_000)
    title = page.locator(".line", has_text="Library visits").bounding_box()
    assert title

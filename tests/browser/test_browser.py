"""The dashboard as a clinician meets it: a real server, a real Chromium, files, clicks and keys."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from core import manifest as manifests
from core.labels import CLASSES
from core.settings import ROOT, Settings
from services.intake import Incoming, receive
from services.models import promote, serving_model
from services.removal import undo
from services.review import cases, history
from services.workspace import SHIPPED_BUNDLES, open_workspace
from tests.conftest import changed_dicom, dicom, png

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: browser tests are skipped")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PAGES = ("", "upload", "worklist", "review", "evaluation", "models")


@pytest.fixture
def server(home):
    """A dashboard over a log of demo cases; its address."""
    subprocess.run([sys.executable, ROOT / "scripts" / "demo.py"], check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/Home.py", "--server.port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            if urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).read() == b"ok":
                break
        except OSError:
            time.sleep(0.5)
    yield address
    process.terminate()
    process.wait(10)


@pytest.fixture
def page(server):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        page.strangers = []
        page.on(
            "request",
            lambda r: page.strangers.append(r.url) if not r.url.startswith((server, "data:", "blob:")) else None,
        )
        yield page
        browser.close()


def settle(page):
    page.wait_for_selector('[data-testid="stMainBlockContainer"] :is(h1, h4)')
    page.wait_for_function("!document.querySelector('[data-testid=\"stStatusWidget\"]')")
    assert page.locator('[data-testid="stException"]').count() == 0, page.locator(
        '[data-testid="stException"]'
    ).inner_text()


def wait_for(condition, seconds=20):
    for _ in range(seconds * 10):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come about")


def test_all_pages_draw_without_an_error_or_a_call_outside(page, server):
    for name in PAGES:
        page.goto(f"{server}/{name}")
        settle(page)
        page.get_by_text("Not a medical device").first.wait_for()
    assert [url for url in page.strangers if not url.startswith("ws")] == []


def test_a_batch_goes_from_upload_to_verdict_by_keyboard(page, server, home):
    page.goto(f"{server}/upload")
    settle(page)
    files = [
        {"name": f"{i} (1).png", "mimeType": "image/png", "buffer": png(100 + i, CLASSES[i % 3])} for i in range(5)
    ]
    files += [
        {"name": "case.dcm", "mimeType": "application/octet-stream", "buffer": dicom(9)},
        {"name": "empty.jpg", "mimeType": "image/jpeg", "buffer": b""},
        {"name": "text.jpg", "mimeType": "image/jpeg", "buffer": b"hello"},
        {"name": "again.png", "mimeType": "image/png", "buffer": png(100, CLASSES[0])},
    ]
    page.locator('input[type="file"]').set_input_files(files)
    page.get_by_text("6 stored, 1 duplicate, 2 refused").wait_for()
    page.get_by_text("text.jpg: The content is not a JPG").first.wait_for()

    page.get_by_role("button", name="Read 6 scans").click()
    page.get_by_text("1 of 6").wait_for()
    scan = page.locator("img.scan").first
    scan.wait_for()
    wait_for(lambda: scan.evaluate("e => e.naturalWidth") > 0)
    stage = page.locator(".stage").bounding_box()
    assert stage["width"] * stage["height"] > 0.25 * 1280 * 800, "the scan is the largest thing on the page"
    assert stage["y"] + stage["height"] < 800, "and whole on the screen"

    ws = open_workspace(Settings())

    def own():
        lines = [line for c in cases(ws, "Reader 1") for line in history(ws, c.scan.id)]
        return sorted(line.verdict for line in lines if line.reader == "Reader 1")

    newest = max(case.scan.batch_id for case in cases(ws, "Reader 1"))
    ids = sorted(case.scan.id for case in cases(ws, "Reader 1", batch_id=newest))
    for number, scan_id in enumerate(ids):
        page.locator(f".st-key-verdict-hemorrhagic-{scan_id}-0").wait_for()  # not the buttons of the scan before
        settle(page)
        blind = page.get_by_text("The model's answer is hidden").is_visible()
        page.keyboard.press("h")
        wait_for(lambda n=number: len(own()) == n + 1)
        if blind:
            page.get_by_text("You said hemorrhagic").wait_for()
            page.locator(".st-key-next").get_by_text("Next").wait_for()  # drawn to its end: it was "Skip"
            settle(page)
            page.keyboard.press("i")  # in rhythm, meant for the next scan: the verdict stays as it was
            page.keyboard.press("ArrowRight")
    page.get_by_text("This list is read to its end").wait_for()
    assert own() == ["hemorrhagic"] * 6


def test_the_first_scans_are_read_while_the_rest_come(page, server, home):
    rng, files = np.random.default_rng(0), 200
    sent = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": noise(rng)} for i in range(files)]
    page.goto(f"{server}/upload")
    settle(page)
    page.locator('input[type="file"]').set_input_files(sent)
    page.get_by_role("button", name="Read those already here").click()
    page.locator("img.scan").first.wait_for()
    page.get_by_text("An upload of").wait_for()
    page.reload()
    page.get_by_role("link", name="Upload").click()
    page.get_by_text(f"{files} stored").wait_for(timeout=240_000)
    ws = open_workspace(Settings())
    batches = Counter(case.scan.batch_id for case in cases(ws, "Reader 1"))
    assert files in batches.values(), "one batch, whole"
    undo(ws, max(case.scan.id for case in cases(ws, "Reader 1")), actor="test")


def noise(rng):
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_a_whole_folder_is_uploaded_and_shown_in_the_worklist(page, server, home, tmp_path):
    folder = tmp_path / "CD" / "DICOM" / "series"
    folder.mkdir(parents=True)
    for i in range(6):
        (folder / f"I{i:04}").write_bytes(dicom(40 + i, patient="FOLDER"))
    (tmp_path / "CD" / "report.txt").write_text("no image")
    page.goto(f"{server}/upload")
    settle(page)
    page.get_by_text("A folder").click()
    page.locator('input[type="file"][webkitdirectory]').set_input_files(tmp_path / "CD")
    page.get_by_text("6 stored, 1 refused").wait_for()
    page.get_by_role("button", name="Show them in the worklist").click()
    page.get_by_text("of 46 scans; 6 of them not read by you").wait_for()
    wait_for(lambda: page.get_by_role("combobox", name="Batch").input_value().startswith("Upload, "))


def test_a_name_that_was_entered_leaves_the_keys_to_the_verdicts(page, server):
    page.goto(f"{server}/review")
    settle(page)
    page.locator("img.scan").wait_for()  # the viewer minds the keys
    name = page.get_by_role("textbox", name="Reading as")
    name.fill("Cy")
    assert page.evaluate("document.activeElement.tagName") == "INPUT"
    name.press("Enter")
    wait_for(lambda: page.evaluate("document.activeElement.tagName") != "INPUT")
    settle(page)
    assert name.input_value() == "Cy"


def test_a_window_that_was_chosen_leaves_the_arrow_keys_to_the_list(page, server):
    page.goto(f"{server}/review")
    settle(page)
    page.locator("img.scan").wait_for()  # the viewer minds the keys
    place = page.get_by_text(" · scan ").first
    before = place.inner_text()
    page.get_by_text("Bone", exact=True).click()
    settle(page)
    page.keyboard.press("ArrowRight")
    wait_for(lambda: place.inner_text() != before)


def test_a_reload_keeps_who_reads_and_how(page, server):
    page.goto(f"{server}/review")
    settle(page)
    page.get_by_role("textbox", name="Reading as").fill("Dr Ada")
    page.get_by_role("textbox", name="Reading as").press("Enter")
    page.get_by_text("Blind first").first.click()
    page.get_by_text("The model's answer is hidden").wait_for()
    page.get_by_role("link", name="Worklist").click()
    page.get_by_text("hidden until you have read it").first.wait_for(state="attached")
    page.reload()
    settle(page)
    reader = page.get_by_role("textbox", name="Reading as")
    wait_for(lambda: reader.input_value() == "Dr Ada")  # a page's heading comes before its session's own values
    page.get_by_role("button", name="Read these").click()
    page.get_by_text("The model's answer is hidden").wait_for()
    wait_for(lambda: reader.input_value() == "Dr Ada")
    assert "reader=Dr+Ada" in page.url


def test_the_heat_map_is_one_key_away(page, server):
    page.goto(f"{server}/review")
    settle(page)
    while page.get_by_text("The model's answer is hidden").is_visible():
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(1500)
    heat = page.locator("img.heat")
    assert heat.evaluate("e => getComputedStyle(e).display") == "none"
    page.keyboard.press("m")
    wait_for(lambda: heat.evaluate("e => getComputedStyle(e).display") == "block")


def test_the_slices_around_are_looked_at_with_the_arrow_keys(page, server, demonstration_serves):
    ws = open_workspace(Settings())
    files = [Incoming(f"{number}.dcm", dicom(number)) for number in (1, 2, 3)]
    list(receive(ws, serving_model(ws), files, source="upload", actor="a"))
    middle = next(c.scan for c in cases(ws, "Reader 1") if c.scan.unit == "HU" and c.scan.number == 2)
    page.goto(f"{server}/review?scan={middle.id}")
    settle(page)
    scan, said = page.locator("img.scan"), page.locator(".elsewhere")
    scan.wait_for()
    page.get_by_text(f"scan {middle.id}").first.wait_for()
    own = scan.get_attribute("src")
    page.keyboard.press("ArrowUp")
    page.get_by_text("Another slice, number 3 of its study").wait_for()
    assert scan.get_attribute("src") != own
    page.keyboard.press("ArrowUp")  # there is no fourth
    assert "number 3" in said.inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert "number 1" in said.inner_text()
    page.keyboard.press("ArrowUp")
    assert not said.is_visible()
    assert scan.get_attribute("src") == own
    page.keyboard.press("ArrowUp")
    higher = scan.get_attribute("src")
    page.get_by_text("Bone", exact=True).click()
    page.get_by_text("W 2800").wait_for()  # another window draws the viewer anew: what was looked at stays
    wait_for(lambda: scan.get_attribute("src") != higher)
    assert "number 3" in said.inner_text()
    page.keyboard.press("ArrowDown")
    assert not said.is_visible()
    page.keyboard.press("m")  # once, though it has been drawn twice
    wait_for(lambda: page.locator("img.heat").evaluate("e => getComputedStyle(e).display") == "block")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("m")  # is of the scan on the desk, which is not seen
    assert page.locator(".heat-switch input").is_checked()
    page.keyboard.press("h")  # is of the scan on the desk all the same
    wait_for(lambda: len(history(ws, middle.id)) == 1)


def test_the_greys_of_a_picture_can_be_changed(page, server, demonstration_serves):
    ws = open_workspace(Settings())
    files = [Incoming("picture.png", png(7)), Incoming("densities.dcm", dicom(7))]
    picture, densities = [one.scan_id for one in receive(ws, serving_model(ws), files, source="upload", actor="a")]
    contrast, scan = page.get_by_label("Contrast"), page.locator("img.scan")
    page.goto(f"{server}/review?scan={picture}")
    scan.wait_for()
    contrast.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("as in the file, greys changed").wait_for()
    assert "contrast(1.1)" in scan.get_attribute("style")
    page.wait_for_timeout(1500)
    assert page.get_by_text(f"scan {picture}").is_visible(), "the key was the slider's"
    page.get_by_role("button", name="As sent").click()
    assert "contrast" not in scan.get_attribute("style")
    page.goto(f"{server}/review?scan={densities}")
    page.get_by_text("W 80").wait_for()
    assert not contrast.is_visible(), "its windows are above it"


def test_the_patients_sides_are_marked_where_the_file_says_which_is_which(page, server, demonstration_serves):
    ws = open_workspace(Settings())
    lying = changed_dicom(dicom(1), ImageOrientationPatient=[-1, 0, 0, 0, 1, 0], ImagePositionPatient=[0, 0, 5])
    files = [Incoming("lying.dcm", lying), Incoming("not said.dcm", dicom(2))]
    known, unknown = [one.scan_id for one in receive(ws, serving_model(ws), files, source="upload", actor="a")]
    right, left = page.get_by_title("The patient's right"), page.get_by_title("The patient's left")
    page.goto(f"{server}/review?scan={known}")
    right.wait_for()
    assert right.bounding_box()["x"] < left.bounding_box()["x"]
    page.goto(f"{server}/review?scan={unknown}")
    page.get_by_text("sides as in the file").wait_for()
    assert not right.is_visible()


def test_blind_first_sends_nothing_of_the_models_to_the_browser(page, server):
    page.goto(f"{server}/review")
    settle(page)
    page.get_by_text("Blind first").click()
    page.get_by_text("The model's answer is hidden").wait_for()
    settle(page)
    received = []
    page.on(
        "websocket",
        lambda socket: socket.on(
            "framereceived",
            lambda payload: received.append(bytes(payload) if isinstance(payload, bytes) else payload.encode()),
        ),
    )
    page.get_by_text("1 of ").wait_for()
    page.wait_for_timeout(1500)  # a key pressed while the page is drawn anew is lost
    page.keyboard.press("ArrowRight")  # which the switch, just turned, does not keep
    page.get_by_text("2 of ").wait_for()
    page.wait_for_timeout(2000)
    text = page.content()
    assert "(calibrated)" not in text
    assert "Confirm" not in text
    assert page.locator("img.heat").get_attribute("src") is None


def test_a_promoted_version_serves_without_a_restart(page, server, home, publish_untrained):
    page.goto(server)
    settle(page)
    ws = open_workspace(Settings())
    page.get_by_text(manifests.versions(SHIPPED_BUNDLES)[-1].name).first.wait_for()
    version = publish_untrained(3)
    promote(ws, version, actor="test")
    page.goto(f"{server}/upload")
    settle(page)
    page.locator('input[type="file"]').set_input_files([{"name": "x.png", "mimeType": "image/png", "buffer": png(200)}])
    page.get_by_text("1 stored").wait_for()
    newest = max(cases(ws, "nobody"), key=lambda c: c.scan.id)
    from db import queries

    with ws.db.reading() as session:
        assert queries.readings(session, scan_ids=[newest.scan.id])[newest.scan.id].model_version == version

"""The dashboard as a clinician meets it: files, clicks and keys."""

import io
from collections import Counter
from contextlib import suppress

import numpy as np
from PIL import Image

from core import manifest as manifests
from core.labels import CLASSES
from core.settings import Settings
from db import audit
from services.models import promote
from services.removal import undo
from services.review import cases, history
from services.workspace import SHIPPED_BUNDLES, open_workspace
from tests.browser.conftest import settle, wait_for
from tests.conftest import dicom, png

PAGES = ("", "upload", "worklist", "review", "evaluation", "models")


def test_all_pages_draw_without_an_error_or_a_call_outside(page, server):
    for name in PAGES:
        page.goto(f"{server}/{name}")
        settle(page)
        page.get_by_text("Not a medical device").first.wait_for()
    assert [url for url in page.strangers if not url.startswith("ws")] == []


def go_on_by_key(page):
    """S leads to Review; again where a page that was just being drawn has lost it."""

    def led():
        page.keyboard.press("s")
        page.wait_for_timeout(1500)
        return page.evaluate("location.pathname") == "/review"

    wait_for(led)


def test_a_name_that_was_entered_takes_no_key_of_the_page(page, server):
    page.goto(server)
    settle(page)
    page.wait_for_timeout(1500)  # until the page is drawn: a field that is drawn anew forgets
    page.get_by_role("textbox", name="Reading as").fill("Ada")
    page.keyboard.press("Enter")
    wait_for(lambda: page.evaluate("location.search") == "?reader=Ada")
    settle(page)
    go_on_by_key(page)
    settle(page)
    assert page.get_by_role("textbox", name="Reading as").input_value() == "Ada"


def test_what_is_downloaded_is_written_down(page, server, home):
    page.goto(f"{server}/evaluation")
    settle(page)
    for what in ("the report", "the rows"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {what}").click()
        ws = open_workspace(Settings())
        with ws.db.reading() as session:
            event = audit.last(session, "export")
        assert event["file"] == download.value.suggested_filename
        assert event["scans"] > 0


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
    ids = [case.scan.id for case in cases(ws, "Reader 1") if case.scan.batch_id == newest]
    for number, scan_id in enumerate(ids):
        page.locator(f".st-key-verdict-hemorrhagic-{scan_id}-0").wait_for()  # not the buttons of the scan before
        settle(page)
        blind = page.get_by_text("The model's answer is hidden").is_visible()
        page.keyboard.press("h")
        wait_for(lambda n=number: len(own()) == n + 1)
        if blind:
            page.get_by_text("You said hemorrhagic").first.wait_for()  # that of a scan before may still be fading
            page.locator(".st-key-next").get_by_text("Next").wait_for()  # drawn to its end: it was "Skip"
            settle(page)
            page.keyboard.press("i")  # in rhythm, meant for the next scan: the verdict stays as it was
            page.keyboard.press("ArrowRight")
    page.get_by_text("This list is read to its end").wait_for()
    assert own() == ["hemorrhagic"] * 6


def test_a_key_that_is_held_files_one_verdict_and_skips_no_scan(page, server, home):
    page.goto(f"{server}/review?reader=Ada")
    settle(page)
    page.locator("img.scan").first.wait_for()
    page.wait_for_timeout(1500)
    ws = open_workspace(Settings())

    def own():
        return [case.scan.id for case in cases(ws, "Ada") if case.own_verdict]

    def shown():
        return page.locator('[class*="st-key-verdict-hemorrhagic-"]').first.get_attribute("class")

    page.keyboard.down("h")
    wait_for(lambda: len(own()) == 1)
    for _ in range(8):
        page.wait_for_timeout(400)
        page.keyboard.down("h")  # without having been let go: it repeats itself
    page.keyboard.up("h")
    page.wait_for_timeout(1500)
    assert len(own()) == 1
    before = shown()
    for _ in range(8):
        page.keyboard.down("ArrowRight")
        page.wait_for_timeout(400)
    page.keyboard.up("ArrowRight")
    after = shown()
    assert after != before
    page.keyboard.press("ArrowLeft")
    wait_for(lambda: shown() == before)


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
    wait_for(lambda: page.get_by_role("combobox", name="Batch").input_value().startswith("No. 2: Upload, "))


def open_orders(page, name):
    """Their list, by a click; again where a page that was just being drawn has closed it."""
    from playwright.sync_api import TimeoutError as TooLate

    order, option = page.get_by_role("combobox", name="Order"), page.get_by_role("option", name=name)
    for _ in range(3):
        order.click()
        with suppress(TooLate):
            option.wait_for(timeout=5_000)
            return order
    raise AssertionError("the list of orders does not stay open")


def choose_order(page, name, by):
    order = open_orders(page, name)
    if by == "mouse":
        page.get_by_role("option", name=name).click()
    else:
        order.press("ArrowDown")
        order.press("Enter")
    wait_for(lambda: order.input_value() == name)
    settle(page)


def test_an_order_that_was_chosen_leaves_the_keys_to_the_page(page, server):
    for by in ("mouse", "keys"):
        page.goto(f"{server}/worklist")
        settle(page)
        choose_order(page, "hemorrhage first", by)
        go_on_by_key(page)
        page.get_by_text("1 of 40").wait_for()


def test_a_list_left_with_escape_and_a_switch_that_was_clicked_leave_them_too(page, server):
    for leave in (lambda: page.keyboard.press("Escape"), page.get_by_text("Blind first").click):
        page.goto(f"{server}/worklist")
        settle(page)
        open_orders(page, "hemorrhage first")
        leave()
        page.get_by_role("option", name="hemorrhage first").wait_for(state="hidden")
        wait_for(lambda: page.evaluate("document.activeElement.tagName") != "INPUT")
        settle(page)
        go_on_by_key(page)
        page.get_by_text("1 of 40").wait_for()


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


def test_a_switch_that_was_come_to_by_tab_leaves_the_letters_to_the_page(page, server):
    page.goto(f"{server}/review")
    settle(page)
    page.locator("img.scan").wait_for()  # the viewer minds the keys
    name, switch = page.get_by_role("textbox", name="Reading as"), page.get_by_role("switch", name="Blind first")
    name.fill("Cy")
    name.press("Tab")
    page.get_by_text("Say in the sidebar who reads").wait_for(state="detached")  # the page is drawn for Cy
    settle(page)
    wait_for(lambda: switch.evaluate("one => one === document.activeElement"))
    page.keyboard.press("m")
    wait_for(lambda: page.locator(".heat-switch input").is_checked())  # once: it would be off again
    page.keyboard.press("n")
    page.get_by_text("Stored: scan").wait_for()
    assert not switch.is_checked()


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

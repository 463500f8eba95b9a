"""The scan on Review: its heat map, the slices around it, its greys and sides."""

import pytest

from core.settings import Settings
from services.intake import Incoming, receive
from services.models import serving_model
from services.review import cases, history
from services.workspace import open_workspace
from tests.browser.conftest import settle, wait_for
from tests.conftest import changed_dicom, dicom, png


def test_the_heat_map_and_a_closer_look_are_a_key_away(page, server):
    page.goto(f"{server}/review")
    settle(page)
    while page.get_by_text("The model's answer is hidden").is_visible():
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(1500)
    heat = page.locator("img.heat")
    assert heat.evaluate("e => getComputedStyle(e).display") == "none"
    page.keyboard.press("m")
    wait_for(lambda: heat.evaluate("e => getComputedStyle(e).display") == "block")

    def place():
        return page.locator(".layers").evaluate(
            "e => (m => [m.a, m.e, m.f])(new DOMMatrix(getComputedStyle(e).transform))"
        )

    title = page.get_by_text(" · scan ").first
    shown = title.inner_text()
    page.keyboard.press("Shift+ArrowRight")
    assert place() == [1, 0, 0], "the whole picture is in view: there is nowhere to go"
    page.keyboard.press("+")
    page.keyboard.press("+")
    scale, x, y = place()
    assert scale > 1.4
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(f"Shift+{key}")
    wide, high = page.locator(".stage").evaluate("e => [e.clientWidth, e.clientHeight]")
    assert place() == pytest.approx([scale, x + wide / 10, y + high / 10], abs=0.1)
    for key in ("ArrowLeft", "ArrowUp"):
        page.keyboard.press(f"Shift+{key}")
    assert place() == pytest.approx([scale, x, y], abs=0.1)
    page.keyboard.press("0")
    assert place() == [1, 0, 0]
    page.get_by_role("button", name="Zoom in").click()
    assert place()[0] == pytest.approx(1.5)
    page.keyboard.press("0")
    assert place() == [1, 0, 0], "the keys work after the buttons, too"
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom out").click()
    assert place() == [1, 0, 0]
    page.wait_for_timeout(1500)
    assert title.inner_text() == shown, "no key was taken for Back or Next"
    page.keyboard.press("ArrowRight")  # which the buttons, just clicked, do not keep
    wait_for(lambda: title.inner_text() != shown)


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
    page.wait_for_timeout(1500)  # until the page is drawn: a key pressed meanwhile is lost
    page.keyboard.press("ArrowDown")
    assert not said.is_visible()
    page.keyboard.press("m")  # once, though it has been drawn twice
    wait_for(lambda: page.locator("img.heat").evaluate("e => getComputedStyle(e).display") == "block")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("m")  # is of the scan on the desk, which is not seen
    assert page.locator(".heat-switch input").is_checked()
    page.keyboard.press("h")  # is of the scan on the desk, to which it leads back first
    page.get_by_text("Back at the scan. Press again").wait_for()
    assert scan.evaluate("e => e.closest('.away')") is None
    page.keyboard.press("ArrowUp")
    button = page.locator("[class*='st-key-verdict-hemorrhagic'] button")
    button.click()  # so does a click
    page.get_by_text("Back at the scan. Press again").wait_for()
    page.wait_for_timeout(1500)
    assert not history(ws, middle.id)
    button.click()
    wait_for(lambda: len(history(ws, middle.id)) == 1)
    page.keyboard.press("h")
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

"""What a reader keeps through a reload of the page and a restart of the server."""

import sqlite3

from tests.browser.conftest import settle, wait_for


def title(page):
    return page.locator('[data-testid="stMainBlockContainer"] strong').first.inner_text()


def read_some(page, server):
    """Three scans of a list that was chosen: what stands above the fourth."""
    page.goto(f"{server}/worklist?reader=Dr%20Kay")
    settle(page)
    page.get_by_role("button", name="Read these").click()
    page.wait_for_selector('[class*="st-key-verdict-"]')
    for number in (2, 3, 4):
        page.get_by_role("button", name="Skip").click()
        wait_for(lambda number=number: title(page).startswith(f"{number} of "))
    return title(page)


def test_a_reload_keeps_the_list_and_the_place_in_it(page, server):
    before = read_some(page, server)
    page.reload()
    settle(page)
    wait_for(lambda: title(page) == before)
    page.get_by_role("button", name="Back").click()
    wait_for(lambda: title(page).startswith("3 of "))


def test_after_a_restart_a_verdict_is_still_its_readers(page, started, home):
    read_some(page, started.address)
    started.stop()
    wait_for(page.get_by_label("Reading as", exact=True).is_disabled, 60)
    started.start()
    name = page.get_by_label("Reading as", exact=True)
    wait_for(name.is_enabled, 60)  # the browser has found the server again
    page.get_by_role("link", name="Worklist").click()
    page.get_by_role("heading", name="Worklist").wait_for()
    assert name.input_value() == "Dr Kay"
    page.get_by_role("link", name="Review").click()
    page.get_by_text("the list that you were reading is not known any more").wait_for()
    page.get_by_role("button", name="No stroke").click()
    wait_for(lambda: page.get_by_text("Stored: scan").count() == 1)
    log = sqlite3.connect(home / "second_read.sqlite")
    assert log.execute("select reader from reviews order by id desc").fetchone() == ("Dr Kay",)
    assert "is not known any more" not in page.locator("body").inner_text(), "it is said once"


def test_a_verdicts_button_lies_where_it_lay(page, server):
    page.goto(f"{server}/review?reader=Dr%20Kay")
    seen = set()
    for _ in range(12):
        settle(page)
        box = page.locator('[class*="st-key-verdict-hemorrhagic"] button').first.bounding_box()
        seen.add(round(box["y"]))
        before = title(page)
        page.get_by_role("button", name="Skip").click()
        wait_for(lambda before=before: title(page) != before)
    assert len(seen) == 1

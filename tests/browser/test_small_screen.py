"""That a small screen cuts no words."""

import pytest

from tests.browser.conftest import settle

CUT = """() => [...document.querySelectorAll('[data-testid="stMain"] :is(button *, [data-testid="stMetricLabel"] *)')]
    .filter(e => e.innerText && e.clientWidth && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.innerText)"""
OUT = """() => [...document.querySelectorAll('[data-testid="stButtonGroup"]')]
    .flatMap(group => [...group.querySelectorAll('button')]
        .filter(e => e.getBoundingClientRect().right > group.getBoundingClientRect().right + 1))
    .map(e => e.innerText)"""


@pytest.mark.parametrize("width", [1024, 1100, 1260, 1280])
def test_every_button_shows_its_words(page, server, width):
    page.set_viewport_size({"width": width, "height": 768})
    for name in ("", "worklist", "review", "evaluation"):
        page.goto(f"{server}/{name}?reader=Dr%20Kay")
        settle(page)
        page.locator('[data-testid="stMain"] button').first.wait_for()
        for _ in range(20):  # the page's own letters may come late
            if not (cut := page.evaluate(CUT) + page.evaluate(OUT)):
                break
            page.wait_for_timeout(250)
        assert not cut, name

"""A real server and a real Chromium, and how to wait for them."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from core.settings import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Server:
    """A dashboard over the home of a test, which may be started again at the same address."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "streamlit", "run", "dashboard/Home.py", "--server.port", str(self._port)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        for _ in range(120):
            try:
                if urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1).read() == b"ok":
                    break
            except OSError:
                time.sleep(0.5)
        else:
            raise AssertionError("the server did not start")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def started(demo_home):
    """A dashboard over a log of demo cases."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: browser tests are skipped")
    one = Server()
    yield one
    one.stop()


@pytest.fixture
def server(started):
    """Its address."""
    return started.address


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

"""Pages without a browser, over a case log of demo cases or an empty one."""

import pytest
from streamlit.testing.v1 import AppTest

from core.settings import ROOT, Settings
from dashboard import resources
from services.workspace import open_workspace


@pytest.fixture
def app(home, demonstration_serves):
    resources.workspace.clear()
    resources.desks.clear()
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60)
    yield app
    resources.workspace.clear()


@pytest.fixture
def demo(demo_home, demonstration_serves):
    return open_workspace(Settings())


def on(app, page):
    app.run()
    app.switch_page(f"app_pages/{page}.py").run()
    assert not app.exception, app.exception
    return app


def words(app):
    return " ".join(element.value for kind in ("markdown", "info", "success", "caption") for element in app.get(kind))

"""The house's own rules: who may import whom, what the docs name, what a page must not do."""

import ast
import re
import shutil
import subprocess
import sys

import pytest
from pydantic import BaseModel

from core.settings import ROOT, Settings
from tests.conftest import run

ROOMS = ("core", "db", "services", "dashboard", "scripts", "benchmarks")
MAY_IMPORT = {
    "core": {"core"},
    "db": {"db", "core.labels"},
    "services": {"services", "core", "db"},
    "dashboard": {"dashboard", "services", "core", "db"},
    "scripts": {"services", "core", "db"},
    "benchmarks": {"benchmarks", "dashboard", "services", "core", "db"},
}
FORBIDDEN = {
    "core": {"sqlalchemy", "streamlit", "alembic"},
    "db": {"torch", "streamlit", "numpy"},
    "services": {"streamlit"},
    "dashboard": {"sqlalchemy", "torch", "sqlite3"},
    "scripts": {"sqlalchemy", "torch", "streamlit"},
    "benchmarks": set(),
}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _modules(path):
    """Of this house, those that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOMS:
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), f"{alias.name}.py")
                yield f"{node.module}.{alias.name}" if inner.exists() else node.module


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room):
    for path in (ROOT / room).rglob("*.py"):
        for name in _imports(path):
            top = name.split(".")[0]
            if top in ROOMS:
                assert any(name == ok or name.startswith(ok + ".") for ok in MAY_IMPORT[room]), f"{path} imports {name}"
            assert top not in FORBIDDEN[room], f"{path} imports {name}"


def test_the_vocabulary_needs_nothing_but_python():
    assert {name.split(".")[0] for name in _imports(ROOT / "core" / "labels.py")} <= {"typing"}


HEAVY = {
    "what takes in scans": (
        ["services.files", "services.intake", "services.models"],
        ["torch", "pydicom", "gdcm", "nibabel", "pandas", "sklearn", "scipy.stats", "plotly"],
    ),
    "the dashboard": (
        sorted({name for path in (ROOT / "dashboard").rglob("*.py") for name in _modules(path)}),
        ["torch", "torchvision"],
    ),
}


@pytest.mark.parametrize("what", HEAVY)
def test_nobody_loads_what_has_a_process_of_its_own(what):
    modules, heavy = HEAVY[what]
    code = f"import sys, {', '.join(modules)}\nprint([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_only_resources_caches():
    for path in (ROOT / "dashboard").rglob("*.py"):
        if path.name != "resources.py":
            assert "st.cache_" not in path.read_text(), path


NO_COMMANDS = {"console", "data_options"}


@pytest.mark.parametrize("script", sorted({p.stem for p in (ROOT / "scripts").glob("*.py")} - NO_COMMANDS))
def test_every_command_explains_itself_and_stands_in_the_readme(script):
    result = run(script, "--help")
    assert "usage:" in result.stdout
    assert f"scripts/{script}.py" in (ROOT / "README.md").read_text()


def test_every_setting_is_explained_in_config_yaml():
    whole = (ROOT / "config.yaml").read_text()
    for name in settings_of(Settings):
        assert re.search(rf"^\s*(# )?{name}:", whole, re.MULTILINE), name
    lines = whole.splitlines()
    keys = [line for line in lines if re.match(r"\s*\w+:", line)]
    unexplained = [line for line in keys if "#" not in line]
    plain = {
        "optimizer",
        "batch_size",
        "learning_rate",
        "weight_decay",
        "dropout",
        "megapixels",
        "file_mb",
        "seed",
        "epochs",
    }
    assert {line.strip().split(":")[0] for line in unexplained} <= plain


def settings_of(model):
    """The names of a model's fields, and of those in it. Those of a simulation stand in recipes/shipped.yaml."""
    for name, field in model.model_fields.items():
        yield name
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings_of(inner)


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_an_environment_that_was_left_half_made_is_made_anew(tmp_path):
    """As by Debian's Python where python3-venv is missing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    subprocess.run(["make", ".venv/installed", f"PYTHON={sys.executable}"], cwd=tmp_path, check=True)
    assert (tmp_path / ".venv" / "bin" / "pip").exists()

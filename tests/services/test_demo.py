import pytest

from services import demo
from services.demo import CASES, DEMO_READER, REVIEWED, demo_label, is_due, load_demo
from services.models import demonstration_model
from services.review import cases, history, new_click, record
from tests.conftest import png
from tests.services.conftest import take


def test_who_loads_demo_cases_beside_another_gives_each_its_own_verdict(ws, monkeypatch):
    """The other was the first to store every second one, and to give some of these their verdicts."""
    model, every, filed = demonstration_model(ws), demo._files, demo._to_review
    monkeypatch.setattr(demo, "_files", lambda but_of: every(but_of=range(0, CASES, 2)))
    assert load_demo(ws, model) == 20
    monkeypatch.setattr(demo, "_files", lambda but_of: every(but_of=()))
    monkeypatch.setattr(demo, "_to_review", lambda stored: filed(stored) | {1: stored[1]})
    assert load_demo(ws, model) == 20
    assert verdicts_by_index(ws) == [demo_label(index) for index in range(REVIEWED)]


class Killed(BaseException):
    pass


def kill_at(monkeypatch, name, call):
    """As a process that ends at that call."""
    real, calls = getattr(demo, name), []

    def killed(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(demo, name, killed)


@pytest.mark.parametrize(("at", "call"), [("to_dicom", 38), ("record", 1), ("record", 5)])
def test_a_load_that_was_killed_is_gone_on_with(ws, monkeypatch, at, call):
    model = demonstration_model(ws)
    with monkeypatch.context() as patched:
        kill_at(patched, at, call)
        with pytest.raises(Killed):
            load_demo(ws, model)
    before = len(cases(ws, "x"))
    assert before
    assert is_due(ws)
    assert load_demo(ws, model) == CASES - before
    assert verdicts_by_index(ws) == [demo_label(index) for index in range(REVIEWED)]
    assert len(cases(ws, "x")) == CASES
    assert not is_due(ws)


def test_what_somebody_has_said_of_a_demo_case_meanwhile_stands_alone(ws, monkeypatch):
    model = demonstration_model(ws)
    with monkeypatch.context() as patched:
        kill_at(patched, "record", 1)
        with pytest.raises(Killed):
            load_demo(ws, model)
    first = next(case.scan for case in cases(ws, "Ada") if case.scan.number == 1)
    record(ws, first.id, reader="Ada", verdict="unsure", expected_version=0, click_id=new_click())
    load_demo(ws, model)
    assert [line.reader for line in history(ws, first.id)] == ["Ada"]
    assert not is_due(ws)


@pytest.mark.parametrize("synthetic", [False, True])
def test_a_log_that_holds_anything_else_is_left_as_it_is(ws, monkeypatch, synthetic):
    model = demonstration_model(ws)
    with monkeypatch.context() as patched:
        kill_at(patched, "record", 1)
        with pytest.raises(Killed):
            load_demo(ws, model)
    take(ws, model, [("0.png", png(0))], synthetic=synthetic)
    assert not is_due(ws)
    assert load_demo(ws, model) == 0
    assert not any(case.verdict for case in cases(ws, "x"))


def verdicts_by_index(ws):
    """The demo reader's, by which case each is."""
    said = {int(case.scan.number) - 1: case.own_verdict for case in cases(ws, DEMO_READER) if case.own_verdict}
    return [said[index] for index in sorted(said)]

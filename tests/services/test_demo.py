from services import demo
from services.demo import DEMO_READER, demo_label, load_demo
from services.models import demonstration_model
from services.review import cases


def test_who_loads_demo_cases_beside_another_gives_each_its_own_verdict(ws, monkeypatch):
    """The other was the first to store every second one."""
    model = demonstration_model(ws)
    every = demo._files
    monkeypatch.setattr(demo, "_files", lambda: (one for i, one in enumerate(every()) if i % 2))
    assert load_demo(ws, model)
    monkeypatch.setattr(demo, "_files", every)
    monkeypatch.setattr(demo, "is_empty", lambda ws: True)
    assert load_demo(ws, model) == 20
    number_of = {case.scan.id: int(case.scan.number) - 1 for case in cases(ws, DEMO_READER)}
    evenly = {i: c.verdict.label for c in cases(ws, "x") if c.verdict and (i := number_of[c.scan.id]) % 2 == 0}
    assert evenly
    assert evenly == {i: demo_label(i) for i in evenly}

"""What `check_log.py` finds."""

from sqlalchemy import text

from services.checking import problems
from services.demo import load_demo
from services.models import demonstration_model


def test_a_whole_log_has_no_problem_and_each_harm_is_named(ws):
    load_demo(ws, demonstration_model(ws))
    assert list(problems(ws)) == []
    gone, harmed, other = sorted(ws.images.root.glob("*/*.png"))[:3]
    gone.unlink()
    harmed.write_bytes(other.read_bytes())
    with ws.db.writing() as session:
        session.execute(text("update audit_events set actor = 'someone else' where id = 2"))
    chain, *images = problems(ws)
    assert "breaks at event 2" in chain
    assert len(images) == 2
    assert any("is not in the store" in sentence for sentence in images)
    assert any("not the one that was received" in sentence for sentence in images)

from db import audit
from services.exporting import exported


def test_what_is_taken_out_is_an_event_of_the_audit_chain(ws):
    assert exported(ws, "a,b", actor="Ann", file="evaluation.csv", scans=3) == "a,b"
    with ws.db.reading() as session:
        assert audit.last(session, "export") == {"file": "evaluation.csv", "scans": 3}
        assert audit.first_break(session) is None

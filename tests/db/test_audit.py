from sqlalchemy import text

from db import audit
from db.session import Database


def test_a_changed_or_removed_event_shows(tmp_path):
    db = Database(f"sqlite:///{tmp_path / 'log.sqlite'}")
    db.migrate()
    with db.writing() as session:
        for number in range(4):
            audit.append(session, "reader", "review", {"scan": number})
    with db.reading() as session:
        assert audit.first_break(session) is None
    with db.writing() as session:
        session.execute(text("""update audit_events set detail = '{"scan": 9}' where id = 2"""))
    with db.reading() as session:
        assert audit.first_break(session) == 2
    with db.writing() as session:
        session.execute(text("""update audit_events set detail = '{"scan": 1}' where id = 2"""))
        session.execute(text("delete from audit_events where id = 3"))
    with db.reading() as session:
        assert audit.first_break(session) == 4

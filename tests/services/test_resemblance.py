from core.formats import read
from core.likeness import appearance
from services.removal import undo
from services.resemblance import Resemblances
from tests.conftest import png
from tests.services.conftest import take
from tests.services.test_intake import as_jpg


def test_one_intake_sees_what_comes_and_goes_meanwhile(ws, predictor):
    resemblances, seen = Resemblances(ws), appearance(read(as_jpg(png(1, size=256)), "copy.jpg"))

    def resembled():
        with ws.db.reading() as session:
            resemblances.catch_up(session)
            return resemblances.of(session, seen, None)

    assert resembled() is None
    [first, _] = take(ws, predictor, [("a.png", png(1, size=256)), ("b.png", png(2))])
    assert resembled().id == first.scan_id
    undo(ws, first.scan_id, actor="a")
    assert resembled() is None
    [again] = take(ws, predictor, [("a.png", png(1, size=256))])
    assert resembled().id == again.scan_id

from core.labels import CLASSES
from services.intake import Incoming, receive
from services.models import promote, serving_model
from services.overview import overview
from services.review import new_click, record
from tests.conftest import png


def test_only_answers_are_compared_with_verdicts(ws, publish_untrained):
    """Where the model abstains it said nothing that a reader could agree with."""
    for seed, threshold, answers in ((1, None, 4), (2, 1.0, 0)):
        promote(ws, publish_untrained(seed, abstain_below=threshold), actor="test")
        files = [Incoming(f"{i}.png", png(10 * seed + i)) for i in range(4)]
        for one in receive(ws, serving_model(ws), files, source="upload", actor="a"):
            record(ws, one.scan_id, reader="Ann", verdict=CLASSES[0], expected_version=0, click_id=new_click())
        assert overview(ws).comparable == answers

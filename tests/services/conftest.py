"""A model that serves, and files that are given to it."""

import pytest

from services.intake import Incoming, receive
from services.models import promote, serving_model


@pytest.fixture
def predictor(ws, publish_untrained):
    promote(ws, publish_untrained(), actor="test")
    return serving_model(ws)


def take(ws, predictor, files, **more):
    """What became of (name, data) files of one upload."""
    incoming = (Incoming(name, data) for name, data in files)
    return list(receive(ws, predictor, incoming, source="upload", actor="a", **more))

"""What is said of a retraining that was killed as it let its candidate serve."""

import pytest

from db import models
from services.corrections import runs
from services.gate import ACTOR
from services.learning import _end_interrupted_runs
from services.models import champion, promote, rollback


def killed(*_):
    raise KeyboardInterrupt


@pytest.fixture
def begin(ws, publish_untrained):
    """Begin a run with a candidate of its own; its version."""

    def _begin(seed):
        candidate = publish_untrained(seed)
        with ws.db.writing() as session:
            session.add(models.TrainingRun(champion=champion(ws), candidate=candidate))
        return candidate

    return _begin


def let_serve(ws, version, monkeypatch, *, moved):
    """As a retraining does; without `moved` it is killed before the pointer is."""
    if moved:
        promote(ws, version, actor=ACTOR)
        return
    with monkeypatch.context() as patch:
        patch.setattr("core.manifest.point_to", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(ws, version, actor=ACTOR)


def ended_as(ws):
    _end_interrupted_runs(ws)
    return runs(ws)[0].decision


@pytest.mark.parametrize("since", ["nothing", "another", "rollback", "the same"])
@pytest.mark.parametrize("moved", [True, False])
def test_a_candidate_was_promoted_only_if_it_came_to_serve(ws, publish_untrained, begin, monkeypatch, moved, since):
    for seed in (1, 2):
        promote(ws, publish_untrained(seed), actor="a person")
    candidate = begin(3)
    let_serve(ws, candidate, monkeypatch, moved=moved)
    assert (champion(ws) == candidate) == moved
    if since == "rollback":
        rollback(ws, actor="a person")
    elif since != "nothing":
        promote(ws, candidate if since == "the same" else publish_untrained(4), actor="a person")
    assert ended_as(ws) == ("promoted" if moved else "refused")


def test_a_run_that_was_killed_before_any_version_was_let_serve_is_refused(ws, begin):
    begin(3)
    assert ended_as(ws) == "refused"

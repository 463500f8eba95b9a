import time

from filelock import FileLock

from services.jobs import lock_path, retraining, retraining_log, start_retraining


def test_a_retraining_started_from_a_page_runs_by_itself_and_says_how_it_ended(ws):
    assert not retraining(ws)
    assert retraining_log(ws) == ""
    start_retraining(ws)
    for _ in range(600):
        if "decision: refused" in retraining_log(ws):
            break
        time.sleep(0.1)
    assert "there are 0" in retraining_log(ws)


def test_whoever_holds_the_lock_is_seen(ws):
    lock_path(ws).parent.mkdir(parents=True)
    with FileLock(lock_path(ws)):
        assert retraining(ws)
    assert not retraining(ws)

import time
from threading import Thread

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


def test_of_two_clicks_at_one_moment_one_retraining_comes(ws, monkeypatch):
    class Running:
        def poll(self):
            return None

    begun = []

    def slowly(*args, **how):
        time.sleep(0.05)
        begun.append(args)
        return Running()

    monkeypatch.setattr("services.jobs._started", {})
    monkeypatch.setattr("services.jobs.subprocess.Popen", slowly)
    clicks = [Thread(target=start_retraining, args=(ws,)) for _ in range(8)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert len(begun) == 1

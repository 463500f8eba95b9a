"""An intake that is killed leaves nothing half done."""

import os
import subprocess
import sys

import pytest

from benchmarks.kills import Damage
from core.settings import ROOT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_killed_intake_loses_nothing_it_acknowledged_and_serves_nothing_half_written():
    command = [sys.executable, "-m", "benchmarks.kills", "--times", "5"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    damage = eval(out, {"Damage": Damage})
    assert damage.kills == 5
    assert damage.scans >= 5
    assert (damage.acknowledged_lost, damage.rows_without_file, damage.orphans_left) == (0, 0, 0)

"""`build_model.py` on a tiny set of the public one's form."""

from core import bundle
from tests.conftest import png, run

TINY_RECIPE = """
arch: lesion_cnn
head: strongest
width: 8
image_size: 64
window: [40, 80]
crop: head
epochs: 1
batch_size: 12
keep: last
simulation: {per_slice: 1}
"""


def test_the_model_that_ships_is_trained_in_parts_and_no_part_twice(home, tmp_path, monkeypatch):
    root, rows = tmp_path / "public" / "ct_ich", ["file,patient,finding"]
    root.mkdir(parents=True)
    for i in range(24):
        (root / f"{i}.png").write_bytes(png(i, ("hemorrhagic", "no_stroke")[i % 2]))
        rows.append(f"{i}.png,{i},{('hemorrhage', 'no_hemorrhage')[i % 2]}")
    (root / "findings.csv").write_text("\n".join(rows))
    (tmp_path / "recipe.yaml").write_text(TINY_RECIPE)
    monkeypatch.setattr("services.side_by_side.cores", lambda: 2)
    ask = ("--data", tmp_path / "public", "--recipe", tmp_path / "recipe.yaml", "--out", tmp_path / "bundles")
    said = run("build_model", *ask)
    shipped = bundle.load(tmp_path / "bundles" / said.stdout.split()[-1])
    assert shipped.manifest.classes == ("hemorrhagic", "ischemic", "no_stroke")
    assert "hemorrhage AUC per patient" in said.stderr
    kept = {path: path.stat().st_mtime_ns for path in (home / "results" / "training").glob("*.network")}
    assert len(kept) == 6
    again = bundle.load(tmp_path / "bundles" / run("build_model", *ask).stdout.split()[-1])
    assert again.manifest.weights_sha256 == shipped.manifest.weights_sha256
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

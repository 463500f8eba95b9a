import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from core.augment import moved
from core.dataset import DatasetError, Examples, Sample, file_reader, load
from core.labels import CLASSES
from core.listing import from_folders
from core.preprocess import InputSpec
from core.pseudonym import Pseudonym
from core.settings import Augmentation, LastStage, Recipe
from core.simulated import OUTLINE, Simulated
from core.train import fit, predict

RECIPE = Recipe(image_size=32, epochs=3, batch_size=8, patience=10)


@pytest.fixture
def parts(class_folders):
    samples = from_folders(class_folders)
    examples = load(samples, InputSpec(size=32), reader=file_reader(Pseudonym(b"k"), 16)).examples
    return examples.of("train"), examples.of("validation")


def weights(result):
    return torch.cat([p.flatten() for p in result.network.state_dict().values()])


def test_the_same_seed_trains_the_same_network(parts):
    first, again = (fit(*parts, CLASSES[:2], RECIPE) for _ in range(2))
    other = fit(*parts, CLASSES[:2], RECIPE.model_copy(update={"seed": 1}))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_the_first_epochs_are_trained_on_smaller_images(parts, monkeypatch):
    shown = []

    def noted(x, pose, side=None):
        shown.append(side)
        return moved(x, pose, side)

    monkeypatch.setattr("core.train.moved", noted)
    fit(*parts, CLASSES[:2], RECIPE.model_copy(update={"image_size": 64, "first_size": 32, "first_share": 0.7}))
    steps = len(shown) // 3
    assert shown == [32] * 2 * steps + [64] * steps


def test_without_validation_a_plateau_is_one_of_the_loss_in_training(parts, monkeypatch):
    told = []
    monkeypatch.setattr("core.optimise.Optimiser.end_epoch", lambda self, loss: told.append(loss))
    recipe = RECIPE.model_copy(update={"scheduler": "plateau", "epochs": 2})
    fitted = fit(parts[0], None, CLASSES[:2], recipe)
    assert told == [epoch.train_loss for epoch in fitted.history]
    validated = fit(*parts, CLASSES[:2], recipe)
    assert told[2:] == [epoch.validation_loss for epoch in validated.history]


@pytest.mark.parametrize(("scheduler", "optimizer"), [("onecycle", "muon"), ("cosine", "adam"), ("plateau", "muon")])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(parts, tmp_path, scheduler, optimizer):
    recipe = RECIPE.model_copy(update={"scheduler": scheduler, "optimizer": optimizer})
    whole = fit(*parts, CLASSES[:2], recipe)

    class Stop(Exception):
        pass

    def stop_in_epoch_three(done, total, loss, epoch):
        if epoch is None and done > total * 2 / 3:
            raise Stop

    checkpoint = tmp_path / "run.pt"
    with pytest.raises(Stop):
        fit(*parts, CLASSES[:2], recipe, checkpoint=checkpoint, progress=stop_in_epoch_three)
    assert checkpoint.exists()
    resumed = fit(*parts, CLASSES[:2], recipe, checkpoint=checkpoint)
    assert torch.equal(weights(whole), weights(resumed))
    assert [dataclasses.replace(e, seconds=0) for e in whole.history] == [
        dataclasses.replace(e, seconds=0) for e in resumed.history
    ]
    assert not checkpoint.exists()


STAGED = RECIPE.model_copy(
    update={"last_stage": LastStage(epochs=2, learning_rate=1e-3, augmentation=Augmentation(motion=1.0, elsewhere=1.0))}
)


def test_a_last_stage_goes_on_from_what_was_kept(parts):
    told = []
    staged = fit(*parts, CLASSES[:2], STAGED, progress=lambda *said: told.append(said))
    once = fit(*parts, CLASSES[:2], RECIPE)
    again = fit(*parts, CLASSES[:2], STAGED.stages[1], start=once.network.state_dict())
    assert torch.equal(weights(staged), weights(again))
    assert [epoch.number for epoch in staged.history] == list(range(1, RECIPE.epochs + 3))
    assert [epoch.number for *_, epoch in told if epoch] == list(range(1, RECIPE.epochs + 3))
    assert told[-1][0] == told[-1][1] == len(told) - len(staged.history)
    assert staged.best_epoch == RECIPE.epochs + again.best_epoch


@pytest.mark.parametrize("after", [RECIPE.epochs, RECIPE.epochs + 1])
def test_a_run_interrupted_after_its_first_stage_goes_on(parts, tmp_path, after):
    def stop(done, total, loss, epoch):
        if epoch and epoch.number == after:
            raise KeyboardInterrupt

    whole, checkpoint = fit(*parts, CLASSES[:2], STAGED), tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(*parts, CLASSES[:2], STAGED, checkpoint=checkpoint, progress=stop)
    trained = []
    resumed = fit(*parts, CLASSES[:2], STAGED, checkpoint=checkpoint, progress=lambda *said: trained.append(said[-1]))
    assert torch.equal(weights(whole), weights(resumed))
    assert [epoch.number for epoch in trained if epoch] == list(range(after + 1, RECIPE.epochs + 3))
    assert not list(tmp_path.glob("run*"))


def test_a_stage_that_has_given_up_is_not_taken_up_again(parts, tmp_path):
    recipe = STAGED.model_copy(update={"epochs": 30, "patience": 2, "learning_rate": 1e-6})
    whole, checkpoint, ended = fit(*parts, CLASSES[:2], recipe), tmp_path / "run.pt", []
    first = len(whole.history) - recipe.last_stage.epochs
    assert first < 30

    def stop_in_the_last_stage(done, total, loss, epoch):
        if epoch is None and len(ended) == first:
            raise KeyboardInterrupt
        ended.extend([epoch] if epoch else [])

    with pytest.raises(KeyboardInterrupt):
        fit(*parts, CLASSES[:2], recipe, checkpoint=checkpoint, progress=stop_in_the_last_stage)
    resumed = fit(*parts, CLASSES[:2], recipe, checkpoint=checkpoint)
    assert len(resumed.history) == len(whole.history)
    assert torch.equal(weights(whole), weights(resumed))


def test_training_learns_to_tell_bright_from_dark():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 2
    x = (torch.rand(64, 1, 32, 32, generator=generator) * 100 + 120 * y[:, None, None, None]).to(torch.uint8)
    examples = Examples(x, y, ())
    result = fit(examples, examples, CLASSES[:2], RECIPE.model_copy(update={"epochs": 8}))
    assert (predict(result.network, x).logits.argmax(dim=1) == y).float().mean() == 1


def test_the_best_epoch_is_kept_and_a_hopeless_run_stops_early(parts):
    result = fit(*parts, CLASSES[:2], RECIPE.model_copy(update={"epochs": 30, "patience": 3, "learning_rate": 1e-6}))
    assert len(result.history) == result.best_epoch + 3
    best = result.history[result.best_epoch - 1]
    assert best.validation_balanced_accuracy == max(e.validation_balanced_accuracy for e in result.history)


def test_a_part_without_a_class_is_refused(parts):
    train, validation = parts
    only = [i for i, sample in enumerate(train.samples) if sample.label == "ischemic"]
    one_class = train.at(only)
    with pytest.raises(DatasetError, match="train part"):
        fit(one_class, validation, CLASSES[:2], RECIPE)


def squares(n, seed=0):
    """Even fields, some with a bright square (class 0), none with a dark one (class 1), and plain ones (class 2)."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2 * 2
    x = torch.full((n, 1, 64, 64), 100) + torch.randint(0, 10, (n, 1, 64, 64), generator=generator)
    for i in torch.nonzero(y == 0)[:, 0].tolist():
        row, column = torch.randint(8, 40, (2,), generator=generator).tolist()
        x[i, 0, row : row + 16, column : column + 16] = 200
    samples = tuple(Sample(Path(f"{i}"), CLASSES[label], f"p{i}") for i, label in enumerate(y.tolist()))
    return Examples(x.to(torch.uint8), y, samples)


def dark_squares(n, seed=0):
    """What only a simulation knows: dark squares, and where they are."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.full((n, 1, 64, 64), 100) + torch.randint(0, 10, (n, 1, 64, 64), generator=generator)
    outlines = torch.zeros(n, 1, OUTLINE, OUTLINE, dtype=torch.uint8)
    for i in range(n):
        row, column = torch.randint(1, 4, (2,), generator=generator).tolist()
        x[i, 0, row * 8 : row * 8 + 16, column * 8 : column * 8 + 16] = 20
        outlines[i, 0, row * 5 : row * 5 + 10, column * 5 : column * 5 + 10] = 255
    samples = tuple(Sample(Path(f"{i}"), "ischemic", f"p{i}", synthetic="square") for i in range(n))
    y = torch.ones(n, dtype=torch.long)
    return Simulated(x.to(torch.uint8), y, outlines, samples)


STILL = {"rotation": 0, "shift": 0, "scale": 0, "contrast": 0, "brightness": 0}
WITH_SIMULATION = Recipe(
    arch="lesion_cnn", head="strongest", image_size=64, width=8, epochs=14, batch_size=24, dropout=0.0, keep="last",
    learning_rate=0.005, augmentation=STILL, simulation={"lookalikes": 0.0},
)  # fmt: skip


def test_a_class_that_is_only_simulated_is_learned_and_found_where_it_lies():
    train, made = squares(48), dark_squares(24)
    result = fit(train, None, CLASSES, WITH_SIMULATION, simulated=made)
    assert result.best_epoch == 14, "without validation the last epoch is kept"
    unseen, other = squares(20, seed=1), dark_squares(20, seed=1)
    assert (predict(result.network, unseen.x).logits.argmax(dim=1) == unseen.y).float().mean() > 0.9
    assert (predict(result.network, other.x).logits.argmax(dim=1) == 1).float().mean() > 0.9
    with torch.inference_mode():
        maps = result.network(other.x.float() / 255).maps.softmax(dim=1)[:, 1]
    lesion = F.adaptive_avg_pool2d(other.outlines.float() / 255, maps.shape[-2:])[:, 0] > 0.5
    assert maps[lesion].mean() > maps[~lesion].mean() + 0.4


def test_an_interrupted_run_with_simulation_goes_on_as_if_nothing_had_happened(tmp_path):
    train, made = squares(24), dark_squares(12)
    recipe = WITH_SIMULATION.model_copy(update={"epochs": 3})
    whole = fit(train, None, CLASSES, recipe, simulated=made)
    checkpoint = tmp_path / "run.pt"

    def stop(done, total, loss, epoch):
        if epoch and epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(train, None, CLASSES, recipe, simulated=made, checkpoint=checkpoint, progress=stop)
    resumed = fit(train, None, CLASSES, recipe, simulated=made, checkpoint=checkpoint)
    assert torch.equal(weights(whole), weights(resumed))


def test_a_class_that_is_neither_real_nor_simulated_is_refused():
    with pytest.raises(DatasetError, match="train part"):
        fit(squares(24), None, CLASSES, WITH_SIMULATION)

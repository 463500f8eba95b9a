import dataclasses

import pytest
import torch

from core.dataset import DatasetError, Examples, file_reader, from_folders, load
from core.preprocess import InputSpec
from core.pseudonym import Pseudonym
from core.settings import Recipe
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
    first, again = (fit(*parts, 2, RECIPE) for _ in range(2))
    other = fit(*parts, 2, RECIPE.model_copy(update={"seed": 1}))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


@pytest.mark.parametrize("scheduler", ["onecycle", "cosine", "plateau"])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(parts, tmp_path, scheduler):
    recipe = RECIPE.model_copy(update={"scheduler": scheduler})
    whole = fit(*parts, 2, recipe)

    class Stop(Exception):
        pass

    def stop_in_epoch_three(done, total, loss, epoch):
        if epoch is None and done > total * 2 / 3:
            raise Stop

    checkpoint = tmp_path / "run.pt"
    with pytest.raises(Stop):
        fit(*parts, 2, recipe, checkpoint=checkpoint, progress=stop_in_epoch_three)
    assert checkpoint.exists()
    resumed = fit(*parts, 2, recipe, checkpoint=checkpoint)
    assert torch.equal(weights(whole), weights(resumed))
    assert [dataclasses.replace(e, seconds=0) for e in whole.history] == [
        dataclasses.replace(e, seconds=0) for e in resumed.history
    ]
    assert not checkpoint.exists()


def test_training_learns_to_tell_bright_from_dark():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 2
    x = (torch.rand(64, 1, 32, 32, generator=generator) * 100 + 120 * y[:, None, None, None]).to(torch.uint8)
    examples = Examples(x, y, tuple(map(str, range(64))), ())
    result = fit(examples, examples, 2, RECIPE.model_copy(update={"epochs": 8}))
    assert (predict(result.network, x).logits.argmax(dim=1) == y).float().mean() == 1


def test_the_best_epoch_is_kept_and_a_hopeless_run_stops_early(parts):
    result = fit(*parts, 2, RECIPE.model_copy(update={"epochs": 30, "patience": 3, "learning_rate": 1e-6}))
    assert len(result.history) == result.best_epoch + 3
    best = result.history[result.best_epoch - 1]
    assert best.validation_balanced_accuracy == max(e.validation_balanced_accuracy for e in result.history)


def test_a_part_without_a_class_is_refused(parts):
    train, validation = parts
    only = [i for i, sample in enumerate(train.samples) if sample.label == "ischemic"]
    one_class = Examples(train.x[only], train.y[only], tuple(train.patients[i] for i in only), ())
    with pytest.raises(DatasetError, match="train part"):
        fit(one_class, validation, 2, RECIPE)

import torch

from core.batches import Batch, outline_loss, taught_loss
from core.settings import Simulation

HOW = Simulation(balance=16)
AS_IT_LIES = torch.tensor([[1.0, 0, 0], [0, 1, 0]])


def batch(y, outlined, outlines=None):
    """Scans of which only classes and outlines matter."""
    n = len(y)
    outlines = torch.zeros(n, 1, 40, 40, dtype=torch.uint8) if outlines is None else outlines
    return Batch(torch.zeros(n, 1, 64, 64, dtype=torch.uint8), torch.tensor(y), outlines, torch.tensor(outlined))


def seen(*places, label=0, strength=6.0, side=4):
    """(1, 3, side, side) maps that show a class at some places, and none elsewhere."""
    maps = torch.zeros(1, 3, side, side)
    maps[:, 2] = 6.0
    for row, column in places:
        maps[0, label, row, column] = 6.0 + strength
    return maps


def learned(loss_of, maps):
    """(N, C, h, w): how a step along the loss would move the maps."""
    maps = maps.clone().requires_grad_()
    loss_of(maps).backward()
    return -maps.grad


def test_a_place_is_taught_what_a_teacher_sees_there():
    teacher, scans = seen((1, 2)), batch([0, 2], [False, True])
    moved = learned(lambda maps: taught_loss(maps, teacher, scans, HOW), torch.zeros(2, 3, 4, 4))
    towards = moved[0].argmax(dim=0)
    assert towards[1, 2] == 0
    assert (towards == 2).sum() == 15
    assert not moved[1].any(), "an outlined scan is not the teacher's"


def test_of_a_lesion_that_a_teacher_is_unsure_of_its_likeliest_place_is_taught():
    unsure = seen((1, 2), (1, 1), strength=-0.5)  # 0.38 of its class
    unsure[0, 0, 1, 2] += 0.1
    moved = learned(lambda maps: taught_loss(maps, unsure, batch([0], [False]), HOW), torch.zeros(1, 3, 4, 4))
    assert moved[0, 0, 1, 2] > 0
    assert not moved[0, :, 1, 1].any(), "of the other one nothing is taught"
    assert moved[0, 2, 0, 0] > 0, "nor is there doubt of what is empty"


def test_where_a_teacher_sees_no_lesion_only_its_empty_places_are_taught():
    moved = learned(lambda maps: taught_loss(maps, seen(), batch([0], [False]), HOW), torch.zeros(1, 3, 4, 4))
    assert (moved[0].argmax(dim=0) == 2).all()


def test_a_lesion_of_another_class_than_the_scans_is_not_taught():
    other = seen((1, 2), label=1)
    moved = learned(lambda maps: taught_loss(maps, other, batch([0], [False]), HOW), torch.zeros(1, 3, 4, 4))
    assert not moved[0, :, 1, 2].any()


def test_a_taught_scan_weighs_as_much_as_an_outlined_one():
    outlines = torch.zeros(2, 1, 40, 40, dtype=torch.uint8)
    outlines[:, 0, 10:20, 20:30] = 255
    pose, maps = AS_IT_LIES.expand(2, 2, 3), torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    known = outline_loss(maps, batch([0, 0], [True, True], outlines), pose, HOW)
    half = batch([0, 0], [True, False], outlines)
    taught = outline_loss(maps, half, pose, HOW) + taught_loss(maps, seen((1, 2)), half, HOW)
    torch.testing.assert_close(taught, 2 * known)  # two such losses, each a mean over one outlined scan

import torch

from core.outlier import Typical, describe, with_threshold


def scans(n, seed, shift=0.0):
    """Features that live on a plane, with a little noise beside it."""
    generator = torch.Generator().manual_seed(seed)
    plane = torch.randn(3, 40, generator=torch.Generator().manual_seed(9))
    return torch.randn(n, 3, generator=generator) @ plane + 0.1 * torch.randn(n, 40, generator=generator) + shift


def usual(train, validation, false_flags=0.05):
    """As in a training: what is usual, and a threshold from other scans."""
    typical = describe(train)
    return with_threshold(typical, typical.distance(validation), false_flags) if typical else None


def test_nothing_is_flagged_before_there_is_a_threshold():
    assert not describe(scans(500, 0)).unlike(scans(100, 2) * 20).any()


def test_as_many_head_ct_are_flagged_as_was_asked():
    typical = usual(scans(2000, 0), scans(2000, 1))
    assert 0.03 < typical.unlike(scans(4000, 2)).float().mean() < 0.07
    assert 0.8 < typical.distance(scans(4000, 2)).mean() < 1.2


def test_what_lies_beside_the_usual_is_flagged_even_if_small():
    typical = usual(scans(2000, 0), scans(500, 1))
    assert typical.unlike(scans(100, 2) + torch.eye(40)[7]).float().mean() > 0.95
    assert typical.unlike(scans(100, 2) * 20).float().mean() > 0.95
    assert typical.unlike(torch.full((1, 40), float("nan"))).all()


def test_too_few_scans_do_not_say_what_is_usual():
    assert usual(scans(500, 0), scans(19, 1)) is None


def test_it_travels_as_tensors():
    typical = usual(scans(500, 0), scans(500, 1))
    again = Typical.from_state({"head.weight": torch.ones(2), **typical.state()})
    x = scans(50, 3)
    assert torch.equal(again.distance(x), typical.distance(x))
    assert Typical.from_state({"head.weight": torch.ones(2)}) is None

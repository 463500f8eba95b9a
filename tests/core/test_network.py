from contextlib import nullcontext

import pytest
import torch
from torch import nn

import core.network
from core.augment import moved
from core.features import ARCHITECTURES
from core.labels import CLASSES, HEMORRHAGIC, ISCHEMIC, NO_STROKE
from core.network import _FLIPPED, build, fused
from core.normalise import BRAIN_GREY, reflection
from tests.core.test_normalise import ellipse


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """What must be the same is compared in float32."""
    monkeypatch.setattr(core.network, "mixed_precision", lambda device: nullcontext())


def test_what_is_read_in_bfloat16_is_read_as_in_float32(monkeypatch):
    torch.manual_seed(0)
    network = build("contralateral_cnn", CLASSES, width=8, head="strongest", intensity="brain", mirror=True).eval()
    x = ellipse(44, 36)
    with torch.inference_mode():
        exact = network(x)
        monkeypatch.setattr(core.network, "mixed_precision", lambda device: torch.autocast("cpu", torch.bfloat16))
        coarse = network(x)
    for one, other in zip(exact, coarse, strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other), "it is read in bfloat16"
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("arch", [a for a in ARCHITECTURES if a not in ("resnet50", "convnext_tiny")])
def test_every_network_answers_with_logits_and_maps_that_agree(arch):
    network = build(arch, CLASSES, dropout=0.5).eval()
    with torch.inference_mode():
        out = network(torch.rand(2, 1, 64, 64))
    assert out.logits.shape == (2, 3)
    assert out.maps.shape[:2] == (2, 3)
    torch.testing.assert_close(out.maps.mean(dim=(2, 3)) + network.head.bias, out.logits, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("arch", ["stroke_cnn", "lesion_cnn", "contralateral_cnn"])
def test_any_size_of_image_is_read(arch):
    network = build(arch, CLASSES, width=2, mirror=True, upright=True)
    for side in (100, 101):
        assert network.train()(torch.rand(2, 1, side, side)).logits.shape == (2, 3)
        assert network.eval()(torch.rand(2, 1, side, side)).logits.shape == (2, 3)


def test_the_other_head_pools_by_a_soft_maximum():
    network = build("lesion_cnn", CLASSES, width=8, head="strongest").eval()
    with torch.inference_mode():
        out = network(torch.rand(2, 1, 64, 64))
    assert out.logits.shape == (2, 3)
    assert (out.logits[:, 2] == 0).all(), "the last class is what the others stand out from"
    r, places = network.SHARPNESS, out.maps.shape[2] * out.maps.shape[3]
    standing = ((out.maps[:, :2] - out.maps[:, 2:]) * r).exp().sum(dim=(2, 3)) / places
    torch.testing.assert_close(standing.log() / r, out.logits[:, :2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("arch", ["contralateral_cnn", "stroke_cnn", "efficientnet_b0"])
def test_a_network_for_reading_only_reads_the_same(arch):
    torch.manual_seed(0)
    network = build(arch, CLASSES).train()
    x = torch.rand(4, 1, 64, 64)
    network(x)  # batch normalisation that changes something
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    reading = fused(network)
    with torch.inference_mode():
        for one, other in zip(network(x), reading(x), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in reading.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), "the network itself is as it was"


@pytest.mark.parametrize("head", ["mean", "strongest"])
def test_with_its_mirror_image_an_answer_is_the_mean_of_two(head):
    torch.manual_seed(0)
    network = build("lesion_cnn", CLASSES, width=8, head=head, mirror=True).eval()
    x = torch.rand(2, 1, 80, 80)
    larger = nn.functional.interpolate(x.flip(3), size=(96, 96), mode="bilinear")
    with torch.inference_mode():
        out = network(x)
        network.mirror = False
        one, two = network(x), network(larger)
    torch.testing.assert_close(out.logits, (one.logits + two.logits) / 2)
    torch.testing.assert_close(out.profile, (one.profile + two.profile) / 2)
    assert out.maps.shape == one.maps.shape


def test_of_the_mirror_image_the_map_is_turned_back():
    network = build("lesion_cnn", CLASSES[:2], width=8, mirror=True).eval()
    network.features = nn.Sequential(nn.Identity())
    network.head = nn.Linear(1, 2, bias=False)
    x = torch.full((1, 1, 80, 80), BRAIN_GREY)  # which the network takes for nothing
    x[..., 20:40, 10:30] = 1.0
    with torch.inference_mode():
        strength = network(x).maps[0].abs().sum(dim=0)
    assert strength[20:40, 10:30].mean() > 10 * strength[20:40, 50:70].mean()


def test_a_network_that_compares_sides_reads_a_mirror_image_by_the_mirrored_midline():
    torch.manual_seed(0)
    network = build("contralateral_cnn", CLASSES, width=8, head="strongest", mirror=True).eval()
    x = moved(ellipse(44, 34), torch.tensor([[[0.97, -0.26, 0.1], [0.26, 0.97, 0.05]]]))
    with torch.inference_mode():
        both = network(x)
        network.mirror = False
        one, of_mirrored = network(x), network(x.flip(3))
    assert not torch.allclose(both.logits, one.logits)
    assert not torch.allclose(of_mirrored.logits, one.logits), "the network itself knows left from right"
    torch.testing.assert_close(reflection(x.flip(3), x.flip(3)), reflection(x, x) * _FLIPPED, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("head", ["mean", "strongest"])
def test_only_ischemia_is_told_by_comparing_the_sides(head):
    torch.manual_seed(0)
    network = build("contralateral_cnn", (HEMORRHAGIC, ISCHEMIC, NO_STROKE), width=8, head=head).eval()
    x = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        before = network(x)
        network.features[-1].compared.register_forward_hook(lambda _module, _given, compared: compared + 1)
        after = network(x)
    changed = (after.logits - before.logits).abs().amax(dim=0) > 1e-4
    assert changed.tolist() == [False, True, False]
    assert ((after.maps - before.maps).abs().amax(dim=(0, 2, 3)) > 1e-4).tolist() == [False, True, False]


def test_a_lying_head_is_read_upright_and_its_map_turned_back():
    torch.manual_seed(0)
    network = build("lesion_cnn", CLASSES, width=8, head="strongest", upright=True).eval()
    standing = ellipse(44, 36)
    lying_down = standing.rot90(-1, (2, 3))
    with torch.inference_mode():
        of_standing, of_lying = network(standing), network(lying_down)
        network.upright = False
        as_it_lies = network(lying_down)
    torch.testing.assert_close(of_lying.logits, of_standing.logits)
    torch.testing.assert_close(of_lying.maps, of_standing.maps.rot90(-1, (2, 3)))
    assert not torch.allclose(as_it_lies.logits, of_standing.logits)


def test_one_strong_place_counts_more_than_many_weak_ones():
    torch.manual_seed(0)
    network = build("lesion_cnn", (HEMORRHAGIC, NO_STROKE), width=8, head="strongest").eval()
    network.features = nn.Sequential(nn.Identity())
    network.head = nn.Conv2d(1, 2, 1, bias=False)
    network.head.weight.data = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1)
    spot, haze = torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.2)
    spot[..., 3, 3] = 12.8  # the same mean
    with torch.inference_mode():
        assert network(spot).logits[0, 0] > network(haze).logits[0, 0] + 5


def test_the_strongest_place_is_not_looked_for_where_no_class_is_without_a_finding():
    with pytest.raises(ValueError, match=r"needs scans without stroke.*head: mean"):
        build("lesion_cnn", CLASSES[:2], width=8, head="strongest")


def test_sides_are_not_compared_for_nothing():
    with pytest.raises(ValueError, match="lesion_cnn"):
        build("contralateral_cnn", (HEMORRHAGIC, NO_STROKE))

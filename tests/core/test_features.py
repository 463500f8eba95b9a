import pytest
import torch
from torch import nn

from core.features import Contralateral
from core.labels import CLASSES
from core.network import build
from core.vision import torchvision_models


def test_the_two_sides_of_a_head_are_compared_at_mirror_places():
    torch.manual_seed(0)
    stage = Contralateral(4, 8, 6).eval()
    merged = []
    stage.context.register_forward_pre_hook(lambda _module, given: merged.append(given[0]))
    across = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])  # the midline stands in the middle
    x = torch.rand(1, 4, 12, 12)
    alike = (x + x.flip(3)) / 2
    with torch.inference_mode():
        stage(alike, across)
        stage(x, across)
    assert merged[0][:, 4:8].abs().max() < 1e-5, "nothing differs where the sides are alike"
    torch.testing.assert_close(merged[1][:, 4:8], x - x.flip(3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", ["resnet50", "convnext_tiny"])
def test_the_large_networks_take_one_grey_channel(arch):
    first = next(m for m in build(arch, CLASSES[:2]).modules() if isinstance(m, nn.Conv2d))
    assert first.in_channels == 1


def test_the_stroke_cnn_is_what_the_card_asks_for():
    network = build("stroke_cnn", CLASSES[:2])
    kinds = [type(m) for m in network.modules()]
    assert sum(k is nn.Conv2d for k in kinds) >= 4
    assert nn.BatchNorm2d in kinds
    assert nn.Dropout in kinds
    assert kinds[-1] is nn.Linear


def test_pretrained_weights_answer_grey_as_they_answered_colour(tmp_path):
    torch.manual_seed(1)
    colour = torchvision_models().mobilenet_v3_small(weights=None).eval()
    torch.save(colour.state_dict(), tmp_path / "weights.pth")
    grey = build("mobilenet_v3_small", CLASSES[:2], weights=tmp_path / "weights.pth").eval()
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            grey.features[0](x), colour.features[0](x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4
        )


def test_weights_that_do_not_fit_are_refused(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="do not fit resnet18"):
        build("resnet18", CLASSES[:2], weights=tmp_path / "other.pth")
    (tmp_path / "no.pth").write_text("text")
    with pytest.raises(ValueError, match="not a PyTorch state dict"):
        build("resnet18", CLASSES[:2], weights=tmp_path / "no.pth")
    with pytest.raises(ValueError, match="no weights file"):
        build("resnet18", CLASSES[:2], weights=tmp_path / "missing.pth")


def test_without_a_network_imagenet_weights_say_what_to_do(monkeypatch):
    from urllib.error import URLError

    def refuse(*_args, **_kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(ConnectionError, match="could not be downloaded"):
        build("resnet18", CLASSES[:2], weights="imagenet")


def test_an_unknown_architecture_names_the_known_ones():
    with pytest.raises(ValueError, match="stroke_cnn"):
        build("vgg", CLASSES[:2])

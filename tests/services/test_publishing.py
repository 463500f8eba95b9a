"""What a model says of scans when it is measured."""

from dataclasses import replace

import torch

from core import bundle
from services.models import folder_of
from services.publishing import answers_of


def test_a_model_answers_what_it_neither_abstains_on_nor_flags(publish_untrained, ws):
    model = bundle.load(folder_of(ws, publish_untrained(abstain_below=1.0)))
    x = torch.zeros(3, 1, 64, 64, dtype=torch.uint8)
    p, answered = answers_of(model, x)
    assert p.shape == (3, 3)
    assert not answered.any()
    asked_for_all = replace(model, manifest=model.manifest.model_copy(update={"abstain_below": None}))
    assert answers_of(asked_for_all, x)[1].all()

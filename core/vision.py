"""torchvision, importable beside a torch of another build.

A CPU torch beside a CUDA torchvision fails at import with "operator torchvision::nms does not exist": its
compiled operators do not load, and their Python side registers fake kernels for them all the same. Declaring
the two missing schemas first is enough for `models` and `transforms`, which use neither.
"""

from types import ModuleType

import torch

_schemas: list[torch.library.Library] = []  # torch forgets a library's schemas when it is collected


def torchvision_models() -> ModuleType:
    """`torchvision.models`, with the two schemas declared only where the plain import fails."""
    try:
        from torchvision import models
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _schemas.append(library)
        from torchvision import models
    return models

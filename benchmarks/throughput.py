"""Scans a second through the model that ships, class probabilities and heat map together, beside well-known networks.

Once as it answers, from each scan and its mirror image, and once from the scan alone.

    python -m benchmarks.throughput [--batch 32] [--rounds 7]

All in one run, in turns, so that the ratios hold on any machine; the torchvision networks at 224 pixels, untrained and
without a heat map. Channels last and in the same precision, as the Predictor runs.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from core import bundle
from core import manifest as manifests
from core.network import fused
from core.precision import mixed_precision
from core.vision import torchvision_models
from services.workspace import SHIPPED_BUNDLES

OTHERS = ("resnet18", "mobilenet_v3_small", "mobilenet_v3_large", "shufflenet_v2_x1_0", "efficientnet_b0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    shipped = bundle.load(manifests.versions(SHIPPED_BUNDLES)[-1])
    name, size = f"{shipped.manifest.arch}, {shipped.spec.size} px, with heat map", shipped.spec.size
    once = fused(shipped.network)
    once.mirror = False
    networks: dict[str, tuple[nn.Module, int, int]] = {
        name: (fused(shipped.network), 1, size),
        f"{name}, no mirror image": (once, 1, size),
    }
    models = torchvision_models()
    networks |= {f"{name}, 224 px": (getattr(models, name)(weights=None), 3, 224) for name in OTHERS}
    runs = {name: _run(network, channels, side, args.batch) for name, (network, channels, side) in networks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    rates = {name: args.batch / statistics.median(of) for name, of in seconds.items()}
    ours = next(iter(rates.values()))
    print(f"{torch.get_num_threads()} threads, batches of {args.batch}, median of {args.rounds} rounds")
    for name, rate in rates.items():
        print(f"{name:<58} {rate:7.0f} scans/s   {ours / rate:5.1f} times as fast is ours")


def _run(network: nn.Module, channels: int, side: int, batch: int) -> Callable[[], None]:
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(batch, channels, side, side).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode(), mixed_precision(x.device):
            network(x)

    run()
    return run


if __name__ == "__main__":
    main()

"""What a processor multiplies natively, and what is therefore reckoned in which precision."""

import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 saves time there. A processor without AVX-512 BF16 only emulates it, twenty times slower."""
    return device.type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def mixed_precision(device: torch.device) -> torch.autocast:
    """bfloat16 where the processor multiplies it natively, else float32. What a network reads differs by as little as
    between two processors (docs/decisions.md)."""
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device))

"""Where networks run and in which numbers, outside of pretraining: what `auto` chooses (of pretraining: train/machine)."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vesalius.errors import SettingError

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Compute:
    """device: cpu or cuda. precision: fp32; or bf16, in which weights stay fp32, and products are of rounded numbers."""

    device: str = "cpu"
    precision: Precision = "fp32"

    def autocast(self) -> AbstractContextManager[Any]:
        """Within it, networks compute in this precision."""
        # Without its cache: copies of weights that are made in inference mode cannot be learned through afterwards.
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False)

    def place(self, network: Any) -> Any:
        """`network`, moved there in place, its kernels channels-last, which is faster; what is no module, as it is."""
        if isinstance(network, nn.Module):
            network.to(self.device)
            for parameter in network.parameters():
                if parameter.ndim in LAYOUTS:
                    parameter.data = parameter.data.contiguous(memory_format=LAYOUTS[parameter.ndim])
        return network


def choose(device: str = "auto", precision: str = "auto") -> Compute:
    """The GPU where there is one, bf16 where it is faster. SettingError: what is not there, or no such word."""
    where = device_named(device)
    if precision not in ("auto", "fp32", "bf16"):
        raise SettingError(f"setting precision is {precision!r}", remedy="Choose one of 'auto', 'fp32', 'bf16'.")
    fast: Precision = "bf16" if precision == "bf16" or (precision == "auto" and has_bf16(where)) else "fp32"
    return Compute(where, fast)


def device_named(wanted: str) -> str:
    """cpu or cuda; of auto, the GPU where there is one. SettingError: there is none, or no such word."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted not in ("cpu", "cuda"):
        raise SettingError(f"setting device is {wanted!r}", remedy="Choose one of 'auto', 'cpu', 'cuda'.")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingError("setting device is 'cuda', but PyTorch sees no GPU", remedy="Use --device auto.")
    return wanted


def device_of(network: Any) -> torch.device:
    """Where its weights are; the CPU where it has none."""
    first: Tensor | None = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


def has_bf16(device: str) -> bool:
    """Whether bf16 is faster than fp32 here: on a CPU only with AMX or AVX512-BF16; without them it is ten times slower."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = _cpu_flags()
    return "amx_bf16" in flags or "avx512_bf16" in flags


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux: unknown, so the safe answer
        return set()
    return set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())

"""Peak memory of NT-Xent of 10,000 pairs, forward + backward, against the whole matrix. Last line: `info_nce_memory RATIO`.

The inputs of info_nce_time.py. Each in a fresh process: the most that was resident (Linux: VmHWM) above what was just
before, when libraries and inputs were there and a small loss had run. Floor: 12.
"""

import ctypes
import subprocess
import sys
from pathlib import Path

import torch

from info_nce_time import BENCH, inputs, ours


def status(field: str) -> float:
    """MB of a line of the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def above(which: str) -> float:
    """MB: peak of one forward and backward, above before."""
    sys.path.insert(0, str(BENCH))
    from reference import info_nce_full

    loss = {"ours": ours, "full": info_nce_full}[which]
    torch.set_num_threads(2)
    z1, z2 = inputs()
    loss(z1[:64], z2[:64]).backward()
    z1.grad = z2.grad = None
    ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would hide what is taken
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from now on
    base = status("VmRSS")
    loss(z1, z2).backward()
    return status("VmHWM") - base


def main() -> None:
    if not BENCH.is_dir() or not Path("/proc/self/clear_refs").exists():
        print(f"info_nce_memory skipped: it needs Linux, and {BENCH.name}/ beside the checkout")
        return
    peaks = {}
    for which in ("ours", "full"):
        done = subprocess.run([sys.executable, __file__, which], capture_output=True, text=True, check=True)
        peaks[which] = float(done.stdout)
    print(f"above base: ours {peaks['ours']:.0f} MB, whole matrix {peaks['full']:.0f} MB")
    print(f"info_nce_memory {peaks['full'] / peaks['ours']:.1f}")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(above(sys.argv[1]))
    else:
        main()

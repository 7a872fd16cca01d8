"""Ten augmented pairs of 128 x 128 x 32 from a CT of 360 x 300 x 200, from disk to tensors. Last line: `vox_pairs RATIO`.

The CT is synthetic: smooth tissue and noise in an elliptic body that touches the four sides, as after the crop to the body.
Reference: its volume and the list of its body voxels read from .npy once for the ten, then `vox2vec_pair` ten times, on
float images with scipy. Ours: what training runs, `vox2vec.crops`, `collate` and `vox2vec.augment` with the default
settings, from the cache, whose files are opened anew for each pair, as when every pair is of another volume. One thread, in
the processor's seconds of this process; the sides take turns with the same seeds, and the mean over rounds of either
counts. The pairs have as many voxels on both sides. Floor: 25.

A process of its own says first what a worker takes above what it had after its imports. At most 300 MB.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import torch
from scipy.ndimage import zoom

from vesalius.chance import generator
from vesalius.data import handles
from vesalius.data.build import build
from vesalius.data.cache import CachedScan, read_index
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import CT
from vesalius.methods import vox2vec
from vesalius.train.batches import collate

SHAPE, PAIRS, CONFIG = (360, 300, 200), 10, vox2vec.Config()
BENCH = Path(__file__).resolve().parents[2] / "shared" / "bench"


def ct(rng: np.random.Generator) -> np.ndarray:
    """(x, y, z) int16 HU."""
    tissue = zoom(rng.normal(0, 150, tuple(n // 20 for n in SHAPE)).astype(np.float32), 20, order=1)
    x, y = (np.linspace(-1, 1, n) for n in SHAPE[:2])
    body = (x[:, None] ** 2 + y**2 <= 1.01)[..., None]  # touches the first and last voxel of x and y
    hu = np.where(body, tissue.clip(-300, 900) + 40, -1000) + rng.normal(0, 15, SHAPE).astype(np.float32)
    return np.asarray(np.rint(hu), np.int16)


def prepared(folder: Path) -> CachedScan:
    """The CT in a cache within `folder`."""
    image = nib.Nifti1Image(ct(generator(0)), np.diag((1.0, 1.0, 2.0, 1.0)))  # type: ignore[no-untyped-call]
    nib.save(image, folder / "patient_0.nii")
    dataset = open_dataset(str(folder))
    found: CachedScan = build(dataset, list(dataset.ids), CT, folder / "cache", workers=1).cache[0]
    return found


def pairs(scan: CachedScan, seed: int) -> dict[str, torch.Tensor]:
    """x1, x2 (10, 1, 128, 128, 32), v1, v2, count."""
    return vox2vec.augment(
        collate([vox2vec.crops(generator(seed, i), scan, CONFIG, 0) for i in range(PAIRS)]), CONFIG, 0
    )


def worker(folder: Path) -> None:
    """Print the MB above base at the peak of three batches of the scan that is cached in `folder`."""
    (entry,) = read_index(folder).values()
    base = psutil.Process().memory_info().rss
    for seed in range(3):
        pairs(CachedScan(folder, 0, "", entry), seed)
    (peak,) = re.findall(
        r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text()
    )  # ru_maxrss knows the parent's too
    print(f"{int(peak) / 1024 - base / 2**20:.0f}")


def main(rounds: int = 3) -> None:
    if not BENCH.is_dir():
        print("vox_pairs skipped: the reference is not in shared/ beside the checkout")
        return
    sys.path.insert(0, str(BENCH))
    from reference import vox2vec_pair

    torch.set_num_threads(1)
    handles.HANDLES = 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = prepared(folder)
        np.save(folder / "volume.npy", scan.read()[0])
        np.save(folder / "body.npy", np.argwhere(scan.body()))
        print(f"volume {scan.shape}, body {scan.body().mean():.2f} of it")
        asked = [sys.executable, __file__, "worker", str(scan.folder)]
        taken = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        print(f"peak memory of a worker above its imports: {taken} MB")

        def reference(seed: int) -> float:
            volume, body = np.load(folder / "volume.npy"), np.load(folder / "body.npy")
            made = [vox2vec_pair(volume, body, generator(seed, i)) for i in range(PAIRS)]
            return float(np.mean([len(pair[2]) for pair in made]))

        seconds, voxels = np.empty((2, rounds)), np.empty((2, rounds))
        for turn in range(rounds):
            began = time.process_time()
            made = pairs(scan, turn)
            between = time.process_time()
            voxels[:, turn] = made["count"].float().mean(), reference(turn)
            seconds[:, turn] = between - began, time.process_time() - between
    ours, slow = seconds.mean(1)
    print(f"voxels a pair: ours {voxels[0].mean():.0f}, reference {voxels[1].mean():.0f}")
    print(f"seconds for {PAIRS} pairs, least of rounds: ours {seconds[0].min():.3f}, reference {seconds[1].min():.2f}")
    print(f"seconds for {PAIRS} pairs, mean of rounds: ours {ours:.3f}, reference {slow:.2f}")
    print(f"vox_pairs {slow / ours:.1f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    worker(Path(sys.argv[2])) if sys.argv[1:2] == ["worker"] else main()

"""Collections of The Cancer Imaging Archive as they are unpacked: patient, study, series, slices."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fakes.slices import write_slices
from fakes.volumes import ct


def write_series(root: Path, patients: Mapping[str, Sequence[int]], prefix: str) -> Path:
    """Patient -> slices of each of its series, one study each; and in each study a file that is no slice."""
    for seed, (patient, counts) in enumerate(patients.items()):
        for number, slices in enumerate(counts):
            study = root / prefix / patient / f"01-0{number + 1}-2000-NA-3017{number}"
            image = ct(10 * seed + number, (6, 5, slices))
            write_slices(study / f"3000{number}.000000-NA-0319{number}", image, series=f"1.2.{seed}.{number}")
        (study / "069.xml").write_text("<LidcReadMessage/>")
        (one,) = write_slices(study / "1.000000-NA-DX", ct(seed, (6, 5, 3))[:, :, 1:2], modality="DX")
        one.rename(one.with_name("1-1.dcm"))
    return root

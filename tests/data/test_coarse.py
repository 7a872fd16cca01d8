"""What preparing says of voxels that it left as coarse as they were, or made finer."""

import re
from dataclasses import replace

import numpy as np
import pytest

from fakes.arrays import Arrays, write_arrays
from vesalius.data.build import build
from vesalius.data.cache import Entry
from vesalius.data.coarse import kept_coarser, upsampled
from vesalius.data.prepare import prepare
from vesalius.data.scan import Scan
from vesalius.data.steps import Spacing


def entry(shape, spacing, mm):
    """What the cache holds of a volume of zeros that was asked for at `mm`."""
    made = prepare(Scan(np.zeros((1, *shape), np.int16), "HU", spacing=spacing), [Spacing(mm)])
    scan = made.scan
    kept = made.trace[0][1].get("kept", [])
    return Entry("", "", "", (1, *scan.shape), "int16", "HU", scan.spacing, 0), kept


MM = (1.0, 1.0, 2.0)


@pytest.mark.parametrize(
    "spacing", [(0.7, 0.7, 1.3), (0.9, 0.81, 5.0), (1.2, 1.0, 1.99), (3.0, 3.0, 3.0), (1.0, 1.0, 2.0)]
)
def test_the_sentence_counts_what_the_step_kept(spacing):
    one, kept = entry((50, 41, 33), spacing, MM)
    said = kept_coarser([one], MM)
    assert re.findall(r"[:,] ([xyz]) \d", said) == ["xyz"[axis] for axis in kept]
    assert bool(said) == bool(kept)


def test_the_sentence_has_numbers_and_the_range_of_mm():
    some = [entry((30, 30, 20), (1.0, 1.0, z), MM)[0] for z in (1.5, 3.0, 5.0)]
    said = kept_coarser(some, MM)
    assert said.startswith("2 of 3 volumes have voxels coarser than the 1 x 1 x 2 mm asked")
    assert said.endswith("nothing is upsampled: z 3 to 5 mm in 2")


def test_nothing_is_said_where_no_spacing_was_asked_or_known():
    coarse = entry((30, 30, 20), (4.0, 4.0, 4.0), MM)[0]
    assert kept_coarser([coarse], ()) == ""
    assert kept_coarser([Entry("", "", "", (1, 30, 30), "uint8", "0..1", None, 0)], MM) == ""


class Volumes(Arrays):
    """Of 3 mm, but 1.2 mm along x."""

    def read(self, id):
        return replace(super().read(id), spacing=(1.2, 3.0, 3.0))


def test_what_is_upsampled_is_what_would_have_been_kept(tmp_path):
    data = Volumes(write_arrays(tmp_path / "data", 3, (1, 30, 20, 10)).root)
    kept, finer = (
        build(data, data.ids, [Spacing((2.0, 1.5, 2.0), upsample)], tmp_path / "cache", workers=1).cache
        for upsample in (False, True)
    )
    assert kept.folder != finer.folder
    assert [kept[0].shape, finer[0].shape] == [(18, 20, 10), (18, 40, 15)]
    said = upsampled(finer, (2.0, 1.5, 2.0))
    assert said.startswith("3 of 3 volumes had voxels coarser than the 2 x 1.5 x 2 mm asked, and are upsampled")
    assert (
        said.split(": ")[1] == kept_coarser(kept.entries, (2.0, 1.5, 2.0)).split(": ")[1] == "y 3 mm in 3, z 3 mm in 3"
    )
    assert upsampled(kept, (2.0, 1.5, 2.0)) == kept_coarser(finer.entries, (2.0, 1.5, 2.0)) == ""

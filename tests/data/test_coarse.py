"""What preparing says of voxels that it left as coarse as they were."""

import re

import numpy as np
import pytest

from vesalius.data.cache import Entry
from vesalius.data.coarse import kept_coarser
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

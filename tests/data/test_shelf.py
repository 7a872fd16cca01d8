"""Arrays that lie in a file are what they were, for everybody who works on them."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from vesalius.chance import generator
from vesalius.data import shelf
from vesalius.data.shelf import Shelf
from vesalius.errors import DataError


def in_file(array: np.ndarray) -> bool:
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def test_the_first_stay_in_memory_and_all_are_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "BLOCK", 1024)  # less than some, more than others
    rng = generator(0)
    arrays = [
        rng.integers(0, 200, (3, 5, 7), np.uint8),
        np.asfortranarray(rng.random((20, 30)).astype(np.float16)),
        rng.integers(-9, 9, (1, 4), np.int16),
        np.zeros((0, 4), np.float32),
        rng.random((2, 2)),
    ]
    own = Shelf(arrays[0].nbytes, tmp_path)
    kept = [own.keep(array) for array in arrays]
    assert [in_file(array) for array in kept] == [False, True, True, False, True]
    for one, other in zip(arrays, kept, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.array_equal(one, other)
    assert list(tmp_path.iterdir()) == []  # the file has no name
    torch.from_numpy(kept[1])[0] = 0  # no array of the others
    assert np.array_equal(kept[2], arrays[2])


def test_a_full_disk_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(DataError, match=r"cannot hold 0.2 GiB.*No space left.*VESALIUS_CACHE"):
        Shelf(0, tmp_path).keep(np.ones(3))

"""Arrays that outgrow the memory lie in a file: thousands of volumes are measured on a machine that holds a hundred.

They are used as if they lay in memory, for the system reads what is looked at and drops what is not. The file has no name
and goes with the arrays: nothing of a patient is left behind, however the process ends.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from vesalius.data.cache import default_root
from vesalius.errors import DataError

SHARE = 0.25  # of the memory that is free at first: the rest is for whoever works on the arrays
BLOCK = 2**28  # bytes by which the file grows: a map for each array would be too many maps
ALIGNED = 64  # bytes


class Shelf:
    """Keeps arrays: the first `room` bytes of them as they are, the others in a file.

    room: by default a quarter of the memory that is free now. folder: of the file; the cache's by default.
    """

    def __init__(self, room: int | None = None, folder: Path | None = None) -> None:
        self._room = int(SHARE * psutil.virtual_memory().available) if room is None else room
        self._folder = folder or default_root()
        self._free: NDArray[np.uint8] = np.empty(0, np.uint8)  # what is left of the last block

    def keep(self, array: NDArray[Any]) -> NDArray[Any]:
        """The same values, shape and type. DataError where the disk refuses."""
        if array.nbytes <= self._room:
            self._room -= array.nbytes
            return array
        taken = -(-array.nbytes // ALIGNED) * ALIGNED
        if taken > len(self._free):
            self._free = self._block(max(BLOCK, taken))
        mine, self._free = self._free[: array.nbytes], self._free[taken:]
        kept = mine.view(array.dtype).reshape(array.shape)
        kept[...] = array
        return kept

    def _block(self, size: int) -> NDArray[np.uint8]:
        """(size,) in a file of its own, whose space is taken at once: a disk that fills up later would end the process."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                if hasattr(os, "posix_fallocate"):  # Linux
                    os.posix_fallocate(file.fileno(), 0, size)
                return np.memmap(file, np.uint8, "r+", shape=(size,))
        except OSError as error:
            remedy = "Free some space there, or set VESALIUS_CACHE to a folder on a larger disk."
            reason = f"cannot hold {size / 2**30:.1f} GiB that the memory does not ({error.strerror or error})"
            raise DataError(reason, file=self._folder, remedy=remedy) from error

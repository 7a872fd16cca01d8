"""Open arrays of the cache, kept by each thread: opening one costs more than a small read from it."""

import os
import threading
from collections import OrderedDict
from typing import Any

import blosc2

from vesalius.data.scan import Array
from vesalius.errors import DataError

HANDLES = 128  # open arrays a thread keeps; at most WHOLE bytes each
WHOLE = 1 << 20  # a file up to this size is read in one go: a third faster than block by block
REMEDY = "Delete it and prepare again."


class _Handles(threading.local):
    """The arrays this thread has open, the last used at the end. A forked child starts with none."""

    def __init__(self) -> None:
        self.pid, self.arrays = os.getpid(), OrderedDict[str, tuple[Any, bytes]]()


_HANDLES = _Handles()


def opened(name: str) -> Any:
    """The blosc2 array of a file, open from the last time or opened now. DataError where it is gone or damaged."""
    if _HANDLES.pid != os.getpid():
        _HANDLES.__init__()  # type: ignore[misc]
    arrays = _HANDLES.arrays
    if name in arrays:
        arrays.move_to_end(name)
        return arrays[name][0]
    arrays[name] = handle = open_frame(name)
    if len(arrays) > HANDLES:
        arrays.popitem(last=False)
    return handle[0]


def open_frame(name: str) -> tuple[Any, bytes]:
    """The array, and the bytes that it points into: keep both."""
    try:
        if os.path.getsize(name) > WHOLE:
            return blosc2.open(name, mode="r", dparams={"nthreads": 1}), b""
        with open(name, "rb") as file:
            frame = file.read()
        return blosc2.ndarray_from_cframe(frame, copy=False), frame
    except FileNotFoundError:
        raise DataError("gone from the cache", file=name, remedy="Prepare again.") from None
    except Exception as error:  # noqa: BLE001 - a damaged frame may raise anything
        raise damaged(name, error) from None


def read_into(name: str, array: Any, out: Array, start: tuple[int, ...], stop: tuple[int, ...]) -> None:
    """Fill `out` with array[start:stop]. DataError where a block of the file is damaged."""
    try:  # what array[...] does, less its parsing of keys: half of the time of a small read
        array.get_slice_numpy(out, (start, stop))
    except Exception as error:  # noqa: BLE001 - a damaged frame may raise anything
        _HANDLES.arrays.pop(name, None)
        raise damaged(name, error) from None


def damaged(name: str, error: Exception) -> DataError:
    """What is raised where a file of the cache is not what was written."""
    return DataError(f"damaged in the cache ({error})", file=name, remedy=REMEDY)

"""Decodes DICOM pixels with GDCM in a process of its own, because GDCM aborts the process on some broken files.

One such process serves one reading process: started at the first need, started anew after a crash, ended with it. It is
asked by one line of JSON, the path; it answers with one line of JSON, an error or a shape and type, then the samples.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import numpy as np

from vesalius.data.pixels import words
from vesalius.data.scan import Array

_SECONDS = 30.0  # for one image: the largest radiographs take about two, some broken files go round in circles
_BYTES = 8 * 2**30  # address space of the decoding process: headers can claim anything


class Decoder:
    """A decoding process and the pipe to it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def __call__(self, path: Path, seconds: float = _SECONDS) -> Array:
        """The decoded samples, (H, W) or (H, W, 3); ValueError with the reason on failure, crash or hang."""
        with self._lock:
            timer = threading.Timer(seconds, self._process.kill)
            timer.start()
            try:
                return self._ask(path)
            except (EOFError, BrokenPipeError):
                self.close()
                raise ValueError("the decoder crashed or took too long") from None
            finally:
                timer.cancel()

    def _ask(self, path: Path) -> Array:
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        asked.write(json.dumps(str(path.absolute())).encode() + b"\n")
        asked.flush()
        line = answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        samples = np.empty(answer["shape"], answer["dtype"])
        if cast(BufferedReader, answers).readinto(samples.reshape(-1).view(np.uint8).data) != samples.nbytes:
            raise EOFError
        return samples

    @property
    def alive(self) -> bool:
        """Whether it can be asked, from this process (not from a fork of its owner)."""
        return self.owner == os.getpid() and self._process.poll() is None

    def close(self) -> None:
        """Ends the process."""
        if self.owner != os.getpid():
            return
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a request that the dead process never took
                if pipe is not None:
                    pipe.close()
        self._process.wait()


_decoders: list[Decoder] = []  # at most one: the process that serves this one
_starting = threading.Lock()


def decode(path: Path) -> Array:
    """The samples of a one-image DICOM file, (H, W) or (H, W, 3), decoded in another process; ValueError on failure."""
    with _starting:
        if not (_decoders and _decoders[0].alive):
            close()
            _decoders.append(Decoder())
        decoder = _decoders[0]
    return decoder(path)


@atexit.register
def close() -> None:
    """Ends the decoding process, if there is one."""
    while _decoders:
        _decoders.pop().close()


def _samples(path: str) -> Array:
    """What runs over there: pydicom with GDCM, or GDCM alone for the 12-bit JPEG that pydicom does not pass to it."""
    import gdcm
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import JPEGExtended12Bit

    dataset = dcmread(path, force=True)
    if dataset.file_meta.TransferSyntaxUID != JPEGExtended12Bit or dataset.BitsStored <= 8:
        return pixel_array(dataset, decoding_plugin="gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(path)
    if dataset.SamplesPerPixel != 1 or not reader.Read():
        raise ValueError("JPEG of 12 bits that GDCM cannot read")
    buffer = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(buffer, np.uint16).reshape(dataset.Rows, dataset.Columns)


def _answer(path: str) -> tuple[dict[str, Any], Array]:
    try:
        samples = _samples(path)
    except Exception as error:  # noqa: BLE001 - any failure is told to the asking process, which makes it a DataError
        said = words(error)  # pydicom passes on that GDCM gave no buffer as an AttributeError of None
        return {"error": "GDCM finds no image in it" if "NoneType" in said else said}, np.empty(0)
    samples = np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))
    return {"shape": samples.shape, "dtype": samples.dtype.str}, samples


def main() -> None:
    """Answers until the asking process closes the pipe; whatever GDCM prints goes nowhere."""
    import warnings

    warnings.simplefilter("ignore")
    with contextlib.suppress(ImportError, ValueError, OSError):  # no such limit on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin:
        answer, samples = _answer(json.loads(line))
        answers.write(json.dumps(answer).encode() + b"\n" + samples.tobytes())
        answers.flush()


if __name__ == "__main__":
    main()

"""The decoding process is replaced when it dies and ended when it hangs."""

import os
from pathlib import Path

import numpy as np
import pytest

from fakes.dicom import shipped
from vesalius.data import decoder
from vesalius.data.files import read


def test_a_decoder_that_died_is_started_again_and_a_hang_is_ended():
    path = shipped("MR_small_jpeg_ls_lossless.dcm")
    before = read(path).image
    first = decoder._decoders[0]
    os.kill(first._process.pid, 9)
    first._process.wait()
    assert np.array_equal(read(path).image, before)
    assert decoder._decoders[0] is not first
    with pytest.raises(ValueError, match="crashed or took too long"):
        decoder.Decoder()(Path(path), seconds=0.01)
    decoder.close()
    assert not decoder._decoders

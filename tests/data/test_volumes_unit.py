"""Whether a volume is in HU, told by its values where its format does not say, and by a data set that says it is MR."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes import bids, msd
from fakes.volumes import save
from vesalius.data.datasets import open_dataset
from vesalius.data.doctor import inspect
from vesalius.data.files import read
from vesalius.data.hounsfield import believed, looks_hounsfield
from vesalius.data.prepare import CT, prepare
from vesalius.data.scan import Scan
from vesalius.errors import DataError

REAL = Path(__file__).resolve().parents[3] / "shared/data"
SHAPE = (24, 20, 12)


def patient(seed=0):
    """(*SHAPE) int16 HU: skin of fat, tissue, a spine, a lung and a bubble of gas, in air with noise."""
    rng, (x, y, _) = np.random.default_rng(seed), np.indices(SHAPE)
    radius = np.hypot((x - 11.5) / 10, (y - 9.5) / 8)
    hu = np.select([radius > 1, radius > 0.85], [-1000.0, -100.0], 40.0)
    hu[10:13, 14:16], hu[5:9, 8:12], hu[16, 9:11, 6] = 700, -850, -950
    return np.rint(hu + rng.normal(0, 15, SHAPE)).astype(np.int16)


def padded(image, *values):
    """With a corner column of each value along z, as outside of a scanner's circle."""
    image = image.copy()
    for corner, value in zip(np.ndindex(2, 2), values, strict=False):
        image[tuple(slice(-4, None) if far else slice(4) for far in corner)] = value
    return image


def unit_of(image, folder):
    return read(save(folder / "a.nii.gz", image)).unit


@pytest.mark.parametrize("padding", [(), (-2000,), (-3024,), (-2000, -3024, -2000, -2000), (-1024,) * 4])
def test_ct_is_in_hu_whatever_it_is_padded_with(tmp_path, padding):
    assert unit_of(padded(patient(), *padding), tmp_path) == "HU"


@pytest.mark.parametrize("padding", [(), (-2000,) * 4, (-3024, -2000)])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_ct_without_its_intercept_is_not_whatever_it_is_padded_with(tmp_path, padding, kind):
    assert unit_of(padded((patient() + 1024).astype(kind), *padding), tmp_path) == "arbitrary"


def test_nor_is_it_where_its_padding_was_interpolated(tmp_path):
    raw = padded((patient() + 1024).astype(np.float32), -2000, -2000)
    smooth = (raw[1:] + raw[:-1]) / 2
    assert ((smooth > -1100) & (smooth <= -450)).any()
    assert unit_of(smooth, tmp_path) == "arbitrary"


RNG = np.random.default_rng(1)
MR = {
    "even": RNG.uniform(-1000, 3000, SHAPE),
    "normal": RNG.normal(300, 400, SHAPE),
    "about zero": RNG.normal(0, 600, SHAPE),
    "phase": RNG.integers(-4096, 4095, SHAPE),
    "ringing": np.where(np.indices(SHAPE)[0] == 11, -700, np.where(patient() < -500, RNG.normal(0, 30, SHAPE), 5000)),
}


@pytest.mark.parametrize("name", MR)
def test_mr_with_values_below_zero_is_not(tmp_path, name):
    assert MR[name].min() <= -500
    assert unit_of(MR[name].astype(np.float32), tmp_path) == "arbitrary"


def test_a_part_cut_out_of_the_body_is_where_it_holds_any_air(tmp_path):
    bubble, lung, none = patient()[10:18, 6:14], patient()[3:10, 6:14], patient()[10:16, 6:14, :4]
    assert 0 < (bubble <= -500).mean() < 0.02 < (lung <= -500).mean()
    assert [unit_of(part, tmp_path) for part in (bubble, lung, none)] == ["HU", "HU", "arbitrary"]


def test_large_volumes_are_judged_as_small_ones():
    for image in (patient(), padded(patient() + 1024, -2000)):
        large = image.repeat(12, 0).repeat(11, 2)[None]
        assert looks_hounsfield(large) == looks_hounsfield(image[None])


def test_what_is_called_mr_is_not_in_hu_whatever_its_values(tmp_path):
    mr, ct, of_bids = (tmp_path / name for name in ("mr", "ct", "bids"))
    msd.write(mr), msd.write(ct, ("CT",)), bids.write(of_bids)
    for path in [*mr.glob("images*/h*.gz"), *ct.glob("images*/h*.gz"), *of_bids.glob("sub*/**/*_T1w.nii*")]:
        save(path, patient())
    for spec, unit in ((f"msd:{mr}", "arbitrary"), (f"msd:{ct}", "HU"), (f"bids:{of_bids}", "arbitrary")):
        dataset = open_dataset(spec)
        assert {dataset.read(id).unit for id in dataset.ids} == {unit}, spec


def test_the_files_own_word_comes_before_a_data_sets():
    scan = Scan(patient()[None], "HU", meta={"modality": "CT"})
    assert believed(scan, {"modality": "MR"}) == "HU"
    silent = Scan(scan.image, "HU")
    said = {word: believed(silent, {"modality": word}) for word in ("CT", "cbct", "MR", "PT")}
    assert said == {"CT": "HU", "cbct": "HU", "MR": "arbitrary", "PT": "arbitrary"}
    assert believed(silent, {}) == "HU"


def test_ct_without_its_intercept_is_found_and_set_aside_though_it_is_padded(tmp_path):
    for k in range(3):
        save(tmp_path / f"{k}.nii.gz", padded(patient(k) + 1024, -2000))
    dataset = open_dataset(str(tmp_path))
    found = {finding.kind: finding for finding in inspect(dataset, workers=1).findings}["not HU"]
    assert found.severity == "warning"
    assert [id for id, _ in found.groups] == list(dataset.ids)
    assert "values -2000 to" in found.groups[0][1]
    with pytest.raises(DataError, match="is not in HU"):
        prepare(dataset.read("0.nii.gz"), CT)


def test_real_ct_is_in_hu_and_not_without_its_intercept_and_real_mr_is_not(tmp_path):
    if not REAL.is_dir():
        pytest.skip("no ../shared/data with real scans")
    ct = [*sorted(REAL.glob("ct_headneck/*/pt_1*.nii.gz"))[::20], REAL / "ct/images/torso_totalseg_example_3mm.nii.gz"]
    for path in (path for path in ct if path.parent.name != "labels"):
        hu = read(path)
        assert hu.unit == "HU", path.name
        raw = padded((hu.image[0] + 1024).astype(np.int16), -2000)
        assert not looks_hounsfield(raw[None]), path.name
    for path in sorted(REAL.glob("mr_hippocampus/**/imagesTr/*.nii.gz"))[::60]:
        shifted = np.asanyarray(nib.load(path).dataobj) - 600
        assert (read(path).unit, looks_hounsfield(shifted[None])) == ("arbitrary", False), path.name

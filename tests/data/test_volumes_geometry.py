"""What a volume does not say of its place and size is not made up, and `inspect` names it; so it does what lies obliquely."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from fakes.volumes import LPS, TURNED, ct, save
from vesalius.data.datasets import open_dataset
from vesalius.data.doctor import inspect
from vesalius.data.examine import tilt
from vesalius.data.files import read
from vesalius.data.prepare import prepare, steps_for
from vesalius.errors import DataError

IMAGE = ct(0)
SIZES = " ".join(map(str, IMAGE.shape))
SAYS = "ElementSpacing = 1 2 3", "TransformMatrix = 0 1 0 1 0 0 0 0 1"
DIRECTED = "space directions: (0,1,0) (2,0,0) (0,0,3)"


def mha(path, *fields):
    """Written by hand, since ITK leaves nothing out."""
    head = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        f"DimSize = {SIZES}",
        *fields,
        "ElementType = MET_SHORT",
    ]
    path.write_bytes("\n".join([*head, "ElementDataFile = LOCAL\n"]).encode() + IMAGE.tobytes("F"))
    return path


def nrrd(path, *fields):
    head = ["NRRD0005", "type: int16", "dimension: 3", f"sizes: {SIZES}", "encoding: raw", "endian: little", *fields]
    path.write_bytes("\n".join([*head, "\n"]).encode() + IMAGE.tobytes("F"))
    return path


def nifti(path, sform=0, qform=0, pixdim=None):
    """pixdim: what the header says of the sides, whatever nibabel would."""
    made = nib.Nifti1Image(IMAGE, LPS)
    made.set_sform(LPS if sform else None, sform)
    made.set_qform(LPS if qform else None, qform)
    nib.save(made, path)
    if pixdim is not None:
        data = bytearray(path.read_bytes())
        data[80:92] = np.array(pixdim, "<f4").tobytes()
        path.write_bytes(data)
    return path


KNOWN = (1, 2, 3)
CASES = {
    "mha: all": (lambda d: mha(d / "a.mha", *SAYS), KNOWN, True),
    "mha: no matrix": (lambda d: mha(d / "a.mha", SAYS[0]), KNOWN, False),
    "mha: old name of spacing": (lambda d: mha(d / "a.mha", "ElementSize = 1 2 3", SAYS[1]), KNOWN, True),
    "mha: no spacing": (lambda d: mha(d / "a.mha", SAYS[1]), None, False),
    "mha: name that ITK does not know": (lambda d: mha(d / "a.mha", "elementspacing = 1 2 3", SAYS[1]), None, False),
    "nrrd: all": (lambda d: nrrd(d / "a.nrrd", "space: RAS", DIRECTED), KNOWN, True),
    "nrrd: capitals": (lambda d: nrrd(d / "a.nrrd", "Space: LPS", DIRECTED.title()), KNOWN, True),
    "nrrd: the scanner's space": (lambda d: nrrd(d / "a.nrrd", "space: scanner-xyz", DIRECTED), KNOWN, False),
    "nrrd: no name of a space": (lambda d: nrrd(d / "a.nrrd", "space dimension: 3", DIRECTED), KNOWN, False),
    "nrrd: spacings alone": (lambda d: nrrd(d / "a.nrrd", "spacings: 1 2 3"), KNOWN, False),
    "nrrd: a spacing that is none": (lambda d: nrrd(d / "a.nrrd", "spacings: 1 nan 3"), None, False),
    "nrrd: nothing": (lambda d: nrrd(d / "a.nrrd", "# spacings: 1 2 3"), None, False),
    "nifti: sform": (lambda d: nifti(d / "a.nii", sform=1), (1.5, 1.5, 3), True),
    "nifti: qform": (lambda d: nifti(d / "a.nii", qform=1), (1.5, 1.5, 3), True),
    "nifti: neither": (lambda d: nifti(d / "a.nii"), (1.5, 1.5, 3), False),
    "nifti: neither, nor sides": (lambda d: nifti(d / "a.nii", pixdim=(0, 0, 0)), None, False),
    "nifti: qform without a side": (lambda d: nifti(d / "a.nii", qform=1, pixdim=(1.5, 0, 3)), None, False),
    "nifti: sides that are no numbers": (lambda d: nifti(d / "a.nii", pixdim=(1.5, np.nan, 3)), None, False),
    "nifti: an sform needs no sides": (lambda d: nifti(d / "a.nii", sform=1, pixdim=(0, 0, 0)), (1.5, 1.5, 3), True),
}


@pytest.mark.parametrize("case", CASES)
def test_spacing_and_orientation_are_known_where_the_file_says_them_and_nowhere_else(tmp_path, case):
    write, spacing, lies = CASES[case]
    path = write(tmp_path)
    scan = read(path)
    assert (scan.image[0] == IMAGE).all()
    assert (scan.affine is not None) == lies
    assert scan.spacing == (None if spacing is None else pytest.approx(spacing))
    findings = {finding.kind: finding for finding in inspect(open_dataset(str(tmp_path)), workers=1).findings}
    assert ("orientation" in findings, "spacing" in findings) == (not lies, spacing is None)
    for kind in {"orientation", "spacing"} & set(findings):
        assert findings[kind].severity == "warning"
        assert findings[kind].groups == ((path.name, f"no {kind}"),)
        assert "header" in findings[kind].text


def test_a_volume_without_spacing_cannot_be_brought_to_one(tmp_path):
    scan = read(mha(tmp_path / "a.mha"))
    assert prepare(scan, steps_for(3)).scan.spacing is None
    with pytest.raises(DataError, match="spacing None where 3 numbers of mm are needed"):
        prepare(scan, steps_for(3, spacing=(1, 1, 1)))


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
def test_what_itk_writes_says_all(tmp_path, name):
    sitk.WriteImage(sitk.GetImageFromArray(IMAGE), tmp_path / name)
    scan = read(tmp_path / name)
    assert (scan.spacing, scan.affine is None) == ((1, 1, 1), False)


def turned(degrees, about="x", affine=LPS):
    out = np.array(affine)
    out[:3, :3] = Rotation.from_euler(about, degrees, degrees=True).as_matrix() @ affine[:3, :3]
    return out


def test_tilt_is_the_angle_a_volume_was_turned_by():
    for affine in (LPS, TURNED, np.diag((1.0, 2.0, 3.0, 1.0))):
        assert tilt(affine) == pytest.approx(0, abs=1e-6)
        for degrees in (0.5, 12.0, -44.0):
            for axis in "xyz":
                assert tilt(turned(degrees, axis, affine)) == pytest.approx(abs(degrees))
    assert tilt(turned(80)) == pytest.approx(10)  # the nearest axis is another one then


def test_what_lies_obliquely_is_found_with_its_angle_and_not_set_aside(tmp_path):
    for k, degrees in enumerate((0, 0.9, 1.1, 15)):
        save(tmp_path / f"{k}.nii.gz", ct(k), turned(degrees))
    report = inspect(open_dataset(str(tmp_path)), workers=1)
    found = {finding.kind: finding for finding in report.findings}["oblique"]
    assert found.groups == (("2.nii.gz", "1.1 degrees"), ("3.nii.gz", "15.0 degrees"))
    assert (found.severity, report.ok) == ("warning", True)

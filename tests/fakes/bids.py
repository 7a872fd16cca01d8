"""A data set in BIDS: sessions, runs, another suffix, participants, derivatives with a label map and with a mask."""

from pathlib import Path

from fakes.volumes import dots, mr, save

IMAGES, PATIENTS, LABELLED, QUERY = 4, 3, 3, "?masks=manual"
IMAGE_OF = {
    "sub-01/ses-1/anat/sub-01_ses-1_run-1_T1w.nii.gz": 1,
    "sub-01/ses-1/anat/sub-01_ses-1_run-2_T1w.nii.gz": 2,
    "sub-02/anat/sub-02_T1w.nii.gz": 3,
    "sub-03/anat/sub-03_T1w.nii": 4,
    "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz": 5,
}


def write(root: Path) -> Path:
    """Run 1 of subject 01 and subject 02 have a label map, run 2 a mask of the liver in a third file, subject 03 none."""
    for path, seed in IMAGE_OF.items():
        save(root / path, mr(seed))
    (root / "participants.tsv").write_text(
        "participant_id\tage\tsex\tgroup\nsub-01\t47.5\tM\tx\nsub-02\tn/a\tfemale\ty\nsub-03\t93\tn/a\ty\n"
    )
    manual = root / "derivatives/manual"
    save(manual / "sub-01/ses-1/anat/sub-01_ses-1_run-1_dseg.nii.gz", dots((1, 300), 1))
    save(manual / "sub-01/ses-1/anat/sub-01_ses-1_run-2_label-liver_mask.nii.gz", dots((1,), 2))
    save(manual / "sub-02/anat/sub-02_space-T1w_dseg.nii.gz", dots((1,), 3))
    save(manual / "sub-02/anat/sub-02_space-MNI152_dseg.nii.gz", dots((1,), 3)[1:])
    (manual / "dseg.tsv").write_text("index\tname\tcolor\n0\tbackground\t#000\n1\theart\t#f00\n300\tlung\t#00f\n")
    return root

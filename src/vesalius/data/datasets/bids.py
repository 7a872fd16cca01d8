"""BIDS: the Brain Imaging Data Structure, for MR and CT of any part of the body.

Gorgolewski et al., Scientific Data 2016. `sub-01/[ses-1/]anat/sub-01_ses-1_T1w.nii.gz`, and `participants.tsv` with
participant_id and perhaps sex and age. Masks of a pipeline NAME are `derivatives/NAME/sub-01/.../sub-01_ses-1_dseg.nii.gz`
(a label map, whose values a table `dseg.tsv` names: beside it, or at the top of the pipeline; columns index and name) and
`..._label-liver_mask.nii.gz` (one structure). They must be in the image's own space.

Written from the published specification; not checked against data sets of other people.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.contoured import once
from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.masks import mask_labels, read_volume_map
from vesalius.data.scan import Array, Labels
from vesalius.data.tables import Row, near, read_table
from vesalius.data.walk import stem
from vesalius.errors import DataError

FACTS = Facts(
    name="bids",
    title="a data set in BIDS",
    modality="unknown",
    ndim=3,
    images=0,
    patients=0,
    licence="that of the images",
    cite="",
)
OF_MASKS = ("space", "res", "den", "label", "desc", "seg", "atlas")  # entities that a mask has beside its image's own
OWN_SPACE = ("orig", "individual")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are file names without suffix (`sub-01_ses-1_T1w`).

    suffix: which images, such as `T1w`, `T2w`, `FLAIR`, `ct`. masks: name of a pipeline below derivatives.
    """

    root: Path
    suffix: str = "T1w"
    masks: str = ""

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root. DataError: no subjects, or none with such an image."""
        found = list(_volumes(self.root, self.root))
        if not found:
            raise DataError("no sub-*/**/*.nii.gz", file=self.root, remedy="Give the folder that holds sub-01.")
        wanted = once(((name, path) for name, path in found if _suffix(name) == self.suffix), self.root)
        if not wanted:
            remedy = near(self.suffix, sorted({_suffix(name) for name, _ in found}), "Suffixes")
            raise DataError(f"no image with the suffix {self.suffix!r}", file=self.root, remedy=remedy)
        return wanted

    def patient(self, id: str, /) -> str:
        """The subject, `sub-01`, whatever the session."""
        self.path(id)
        return id.partition("_")[0]

    @cached_property
    def _participants(self) -> dict[str, Row]:
        path = self.root / "participants.tsv"
        return {row["participant_id"]: row for row in read_table(path, ("participant_id",))} if path.is_file() else {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Subjects without a row; images without a mask."""
        subjects = {self.patient(id) for id in self.ids}
        counts = {"subjects have no row in participants.tsv": len(subjects - set(self._participants))}
        if self.masks:
            counts[f"images have no mask of {self.masks}"] = sum(not self._masks[id] for id in self.ids)
        return tuple(f"{n:,} {what}." for what, n in counts.items() if n)

    def meta(self, id: str, /) -> dict[str, str]:
        """Modality, sex and the decade of age."""
        row = {key.lower(): text for key, text in self._participants.get(self.patient(id), {}).items()}
        age = row.get("age", "").split(".")[0].rstrip("+")
        decade = int(age) // 10 * 10 if age.isdigit() else -1
        known = {
            "modality": "CT" if self.suffix.lower() == "ct" else "MR",
            "sex": {"m": "M", "f": "F"}.get(row.get("sex", "")[:1].lower(), ""),
            "age_band": "" if decade < 0 else "90+" if decade >= 90 else f"{decade}-{decade + 9}",
        }
        return {key: text for key, text in known.items() if text}

    @cached_property
    def _masks(self) -> dict[str, list[str]]:
        """Id -> masks, paths below root. DataError where the pipeline has none for any image."""
        found: dict[str, list[str]] = {id: [] for id in self.ids}
        home = self.root / "derivatives" / self.masks
        of_subject: dict[str, list[str]] = {}
        for name, path in _volumes(home, self.root) if self.masks else ():
            if _suffix(name) in ("dseg", "mask"):
                of_subject.setdefault(name.partition("_")[0], []).append(path)
        for id, files in found.items():
            files += [path for path in of_subject.get(self.patient(id), ()) if self._belongs(path, id)]
        if self.masks and not any(found.values()):
            pipelines = sorted(path.name for path in home.parent.iterdir()) if home.parent.is_dir() else []
            raise DataError("no masks of these images", file=home, remedy=near(self.masks, pipelines, "Pipelines"))
        return found

    def _belongs(self, path: str, id: str) -> bool:
        """Whether a mask has all entities of an image, and beside them only those of masks, in the image's space."""
        image, mask = _entities(id), _entities(stem(path))
        return (
            image.items() <= mask.items()
            and set(mask) - set(image) <= set(OF_MASKS)
            and mask.get("space", "orig") in (*OWN_SPACE, self.suffix)
        )

    @cached_property
    def _named(self) -> dict[str, dict[int, str]]:
        """Mask -> value -> structure."""
        return {path: self._names(path) for files in self._masks.values() for path in files}

    def _names(self, path: str) -> dict[int, str]:
        name = stem(path)
        entities = _entities(name)
        if _suffix(name) == "mask":
            return {1: entities.get("label") or entities.get("desc") or "mask"}
        beside, top = (self.root / path).with_name(f"{name}.tsv"), self.root / "derivatives" / self.masks
        tables = [
            beside,
            *(t for t in sorted(top.glob("*dseg.tsv")) if _entities(stem(t.name)).items() <= entities.items()),
        ]
        table = next((table for table in tables if table.is_file()), None)
        if table is None:
            remedy = f"Write {beside.name} beside it, with the columns index and name."
            raise DataError("has no table that names its values", file=self.root / path, remedy=remedy)
        rows = [row for row in read_table(table, ("index", "name")) if row["index"] != "0"]
        if odd := next((row["index"] for row in rows if not row["index"].isdigit()), None):
            raise DataError(f"index {odd!r} is no whole number", file=table, remedy="Correct the table.")
        return {int(row["index"]): row["name"] for row in rows}

    @cached_property
    def structures(self) -> tuple[str, ...]:
        """Of all images."""
        return tuple(dict.fromkeys(name for names in self._named.values() for name in names.values()))

    def labels(self, id: str, /) -> Labels:
        """Masks of all structures, (K, x, y, z); one that no mask of this image names was not contoured."""
        self.path(id)
        planes: dict[str, Array | None] = dict.fromkeys(self.structures)
        if not self._masks[id]:
            return Labels()
        scan = self.read(id)
        for path in self._masks[id]:
            values = read_volume_map(self.root / path, scan, self._named[path])
            planes |= {name: values == value for value, name in self._named[path].items()}
        return mask_labels(planes)


def _volumes(home: Path, root: Path) -> Iterator[tuple[str, str]]:
    """File name without suffix, path below root, of each NIfTI file in the folders of subjects in `home`."""
    from vesalius.data.files import find  # Pillow loads with it

    for subject in sorted(home.glob("sub-*")):
        for path in find(subject) if subject.is_dir() else ():
            if path.name.endswith((".nii", ".nii.gz")) and path.name.startswith(f"{subject.name}_"):
                yield stem(path.name), path.relative_to(root).as_posix()


def _suffix(name: str) -> str:
    return name.rpartition("_")[2]


def _entities(name: str) -> dict[str, str]:
    """sub-01_ses-1_T1w -> {"sub": "01", "ses": "1"}."""
    pairs = (part.partition("-") for part in name.split("_")[:-1])
    return {key: value for key, _, value in pairs}

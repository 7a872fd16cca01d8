"""CheXpert (Stanford): 224,316 chest radiographs of 65,240 patients, 14 observations from reports, some uncertain.

Irvin et al., AAAI 2019. `train.csv` (223,414 images, 64,540 patients; labelled by a program) and `valid.csv` (234
images, 200 patients; by three radiologists): Path, Sex, Age, Frontal/Lateral, AP/PA, then 14 observations: 1 present, 0
absent, -1 uncertain, blank not mentioned. Images `train/patient00001/study1/view1_frontal.jpg`; `CheXpert-v1.0-small`
has them with a short side of about 320. The tables' paths begin with the name of that folder, and the full download
spreads `train/` over several: an image is known by patient, study and view alone, in any folder below root.

The test images (500 patients) were released apart and are not read here. Could not be checked against the original:
that `valid.csv` has no blanks and no -1, and the folders of the full download.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.chance import generator
from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.listed import present
from vesalius.data.scan import Labels
from vesalius.data.tables import Row, near, read_table
from vesalius.data.walk import image_files
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="chexpert",
    title="CheXpert",
    modality="radiograph",
    ndim=2,
    images=223_648,  # of train and valid
    patients=64_740,
    licence="Stanford University Dataset Research Use Agreement; not for redistribution",
    cite="Irvin et al., CheXpert, AAAI 2019",
)
FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
CHOICES = {
    "uncertain": ("ignore", "zeros", "ones", "u_random"),
    "blank": ("zero", "nan"),
    "task": ("findings", "competition"),
}
SOFT = (0.55, 0.85)  # what -1 becomes in the Adam group's benchmark: uniform between
TABLES = {"train": "train.csv", "valid": "valid.csv"}
NAN = float("nan")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are `patient00001/study1/view1_frontal.jpg`, as the tables have them.

    uncertain: what -1 becomes: `ignore` (NaN), `zeros`, `ones`, or `u_random`, a number from 0.55 to 0.85 that depends
    on `seed`, image and finding alone. blank: what is not mentioned: `zero` or `nan`. frontal: leave lateral views out.
    task: all 14 `findings`, or the five of the `competition`. partial: images of the tables that are absent are left
    out, instead of an error.
    """

    root: Path
    uncertain: str = "ignore"
    blank: str = "zero"
    frontal: bool = False
    task: str = "findings"
    seed: int = 0
    partial: bool = False

    def __post_init__(self) -> None:
        for option, known in CHOICES.items():
            if (given := getattr(self, option)) not in known:
                raise SettingError(f"{option} {given!r}", remedy=near(given, known, "Choices"))

    @cached_property
    def _rows(self) -> dict[str, tuple[str, Row]]:
        """Id -> split and row, whether the image is present or not. DataError: no table, or an image in both."""
        rows: dict[str, tuple[str, Row]] = {}
        paths = {split: self.root / name for split, name in TABLES.items()}
        for split, path in paths.items():
            for row in read_table(path, ("Path", "Frontal/Lateral", *FINDINGS)) if path.exists() else []:
                if rows.setdefault(id := _known_by(row["Path"]), (split, row))[1] is not row:
                    raise DataError(f"names {id} a second time", file=path, remedy="Download it again.")
        if not rows:
            here = [path for path in paths.values() if path.exists()]
            reason = "lists no image" if here else f"holds no {' or '.join(TABLES.values())}"
            remedy = "Give the folder that holds them, and train and valid."
            raise DataError(reason, file=here[0] if here else self.root, remedy=remedy)
        return rows

    @cached_property
    def _wanted(self) -> dict[str, tuple[str, Row]]:
        """The same, with `frontal` of frontal views alone."""
        return {id: (split, row) for id, (split, row) in self._rows.items() if not self.frontal or _is_frontal(row)}

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root, for images that are present, and with `frontal` for frontal ones."""
        here = {_known_by(path): path for path in image_files(self.root)}
        for split in () if self.partial else dict.fromkeys(split for split, _ in self._wanted.values()):
            present((id for id in self._wanted if self._wanted[id][0] == split), here, self.root / TABLES[split])
        files = {id: here[id] for id in self._wanted if id in here}
        if not files:
            raise DataError("none of the images in the tables is here", file=self.root, remedy="Unpack the archive.")
        return files

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent."""
        absent = len(self._wanted) - len(self.files)
        return (
            *(f"No {name}: its images are left out." for name in TABLES.values() if not (self.root / name).exists()),
            *([f"{absent:,} images of the tables are absent (a partial download)."] if absent else []),
        )

    def patient(self, id: str, /) -> str:
        """The folder of the patient, `patient00001`."""
        self.path(id)
        return id.partition("/")[0]

    def meta(self, id: str, /) -> dict[str, str]:
        """View (AP, PA, LATERAL ...), sex and the decade of age."""
        _, row = self._rows[id]
        age = row.get("Age", "")
        decade = int(age) // 10 * 10 if age.isdigit() else -1
        known = {
            "view": row.get("AP/PA", "") if _is_frontal(row) else "LATERAL",
            "sex": {"Female": "F", "Male": "M"}.get(row.get("Sex", ""), ""),
            "age_band": "" if decade < 0 else "90+" if decade >= 90 else f"{decade}-{decade + 9}",
        }
        return {key: text for key, text in known.items() if text}

    def labels(self, id: str, /) -> Labels:
        """Findings of the task as 1, 0, NaN (not labelled), or with `u_random` a number between."""
        self.path(id)
        split, row = self._rows[id]
        codes = {name: self._code(row[name], name, id, split) for name in FINDINGS}
        soft = self._soft(id)
        wanted = COMPETITION if self.task == "competition" else FINDINGS
        return Labels({name: soft[name] if codes[name] == -1 else codes[name] for name in wanted})

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train and valid, images that are present; a part without a table is left out."""
        parts = dict.fromkeys(split for split, _ in self._rows.values())
        return {split: tuple(id for id in self.ids if self._rows[id][0] == split) for split in parts}

    def _code(self, text: str, name: str, id: str, split: str) -> float:
        """1, 0, -1, or what a blank becomes. DataError for anything else."""
        if not text:
            return 0.0 if self.blank == "zero" else NAN
        try:
            code = float(text)
        except ValueError:
            code = NAN
        if code not in (-1, 0, 1):
            file = self.root / TABLES[split]
            raise DataError(f"{name} of {id} is {text!r}", file=file, remedy="It is 1, 0, -1 or blank.")
        return code

    def _soft(self, id: str) -> dict[str, float]:
        """Finding -> what -1 becomes. The draws of an image do not depend on which others there are."""
        if self.uncertain != "u_random":
            return dict.fromkeys(FINDINGS, {"ignore": NAN, "zeros": 0.0, "ones": 1.0}[self.uncertain])
        place = int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest())
        drawn = generator(self.seed, place).uniform(*SOFT, len(FINDINGS))
        return dict(zip(FINDINGS, drawn.tolist(), strict=True))


def _known_by(path: str) -> str:
    """Patient, study and view: the last three parts of a path."""
    return "/".join(path.split("/")[-3:])


def _is_frontal(row: Row) -> bool:
    return row["Frontal/Lateral"] == "Frontal"

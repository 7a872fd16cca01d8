"""How hard the phantom is, fixed once: what an untrained network sees is not enough to tell its landmarks apart."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from vesalius.data.datasets.phantom import Dataset
from vesalius.models.backbone import pool
from vesalius.models.resnet import resnet


def landmark_patches(data: Dataset, side: float = 0.22, pixels: int = 64):
    """(n, 1, pixels, pixels) in 0..1 around every landmark, of `side` of the image; their names; their patients."""
    patches, names, patients = [], [], []
    for id in data.ids:
        image = data.read(id).image[0].astype(np.float32) / 255
        steps = np.linspace(-0.5, 0.5, pixels) * side * data.size
        for name, (row, column) in data.landmarks(id).items():
            where = np.stack(np.meshgrid(row + steps, column + steps, indexing="ij"))
            patches.append(map_coordinates(image, where, order=1))
            names.append(name)
            patients.append(data.patient(id))
    return torch.from_numpy(np.stack(patches))[:, None], np.array(names), np.array(patients)


def nearest_agree(features: torch.Tensor, names: np.ndarray, patients: np.ndarray, k: int = 5) -> float:
    """Share of patches whose k nearest of other patients, by cosine, mostly bear its name."""
    unit = torch.nn.functional.normalize(features.float(), dim=1)
    cosine = (unit @ unit.T).numpy()
    cosine[patients[:, None] == patients] = -2
    _, code = np.unique(names, return_inverse=True)
    votes = np.eye(code.max() + 1)[code[np.argsort(-cosine, 1)[:, :k]]].sum(1)
    return float((votes.argmax(1) == code).mean())


@pytest.mark.slow
def test_an_untrained_network_stays_under_three_fifths():
    torch.manual_seed(0)
    patches, names, patients = landmark_patches(Dataset(bodies=12))
    network = resnet(18).eval()
    with torch.inference_mode():
        features = torch.cat([pool(network(part)) for part in patches.split(128)])
    accuracy = nearest_agree(features, names, patients)
    assert 3 / len(set(names)) < accuracy < 0.6  # far above chance, so that there is something to see

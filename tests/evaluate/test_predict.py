"""`vesalius evaluate --save` and `vesalius predict`: the same network, in the pixels of the image, whatever its size."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fakes.command import vesalius
from vesalius import checkpoint, results, zoo
from vesalius.checkpoint import Card
from vesalius.data.cache import key_hash, salt_of
from vesalius.data.datasets import open_dataset
from vesalius.data.files import write_png
from vesalius.data.prepare import steps_for, steps_to_json
from vesalius.data.scan import Scan
from vesalius.data.steps import CropBorder
from vesalius.errors import CheckpointError, SettingError
from vesalius.evaluate import network, segmentation
from vesalius.evaluate.metrics import dice, iou, largest_parts
from vesalius.evaluate.network import Segmenter
from vesalius.evaluate.predict import infer
from vesalius.evaluate.repeats import Repeat
from vesalius.evaluate.trainings import contestants
from vesalius.models.decoder import UNet
from vesalius.models.heads import WithHead, dense_head

PHANTOM = "phantom:?bodies=5&size=64"
STRUCTURES = ("heart", "lung_left")


class Brightness(nn.Module):
    """The oracle: its logits are the image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, 1, H, W)."""
        return 40 * (images[:, :1] - 0.5)


def oracle(*before, size: int = 64) -> Segmenter:
    steps = steps_for(2, size)
    card = Card({"ndim": 2, "in_channels": 1}, classes=["bright"], config={"size": size})
    return Segmenter(Brightness(), replace(card, prepare=steps_to_json((steps[0], *before, *steps[1:]))))


def rectangle(height: int, width: int) -> Scan:
    """Bright left above the middle, in a dark frame."""
    image = np.full((1, height, width), 60, np.uint8)
    image[:, height // 8 : height // 2, width // 6 : width // 3] = 220
    image[:, : height // 16], image[:, :, -width // 16 :] = 0, 0
    return Scan(image, "0..1")


@pytest.fixture(scope="module")
def saved(tiny_run: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of an evaluation that kept its network; do not change it."""
    out = tmp_path_factory.mktemp("saved")
    words = "--shots 2 --draws 1 --size 32 --steps 2 --batch 2 --save --structures".split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VESALIUS_CACHE", str(cache))
        done = vesalius("evaluate", tiny_run, "--data", PHANTOM, "--out", out, *words, *STRUCTURES)
        assert done.status == 0, done
        yield out


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The phantom's image for testing as PNG in a folder, and beside it the same upside down."""
    data = open_dataset(PHANTOM)
    (id,) = data.splits()["test"]
    (tmp_path / "in" / "folder").mkdir(parents=True)
    write_png(tmp_path / "in" / "folder" / f"{id}.png", data.read(id).image)
    write_png(tmp_path / "in" / "other.png", data.read(id).image[:, ::-1])
    return tmp_path / "in"


def mask(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(("skips", "widths"), [(True, (16, 8, 8, 4, 3)), (False, (8,))])
def test_a_loaded_network_gives_the_same_logits_bit_for_bit(tmp_path: Path, skips, widths):
    torch.manual_seed(0)
    made = UNet(zoo.build("resnet18", mean=[0.1, 0.2, 0.3], std=[0.7, 0.8, 0.9]), 2, skips=skips, widths=widths)
    made(torch.rand(2, 3, 40, 33))  # running statistics that are not those of the start
    card = Card(zoo.description("resnet18", made.backbone), notices=["be kind"], data=[{"dataset": "a"}], method="adam")
    network.save(tmp_path / "n.safetensors", made, card, ("a", "b"), 96, parent="run", data=[{"dataset": "b"}])
    found, image = network.load(tmp_path / "n.safetensors"), torch.rand(1, 1, 70, 51)
    with torch.no_grad():
        assert torch.equal(found.network(image), made.eval()(image))
    assert (found.size, found.structures, found.card.parent, found.card.notices) == (96, ("a", "b"), "run", ["be kind"])
    assert [source["dataset"] for source in found.card.data] == ["a", "b"]


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
@pytest.mark.parametrize("standardise", [True, False])
def test_a_loaded_probe_gives_the_same_logits_bit_for_bit(tmp_path: Path, kind, standardise):
    torch.manual_seed(0)
    backbone = zoo.build("resnet18")
    made = WithHead(backbone, dense_head(kind, backbone, 1, standardise=standardise))
    if standardise:
        made.head.fit([backbone(torch.rand(2, 3, 40, 33))])
    network.save(tmp_path / "n.safetensors", made.eval(), Card(zoo.description("resnet18", backbone)), ("a",), 96)
    found, image = network.load(tmp_path / "n.safetensors"), torch.rand(1, 1, 70, 51)
    with torch.no_grad():
        assert torch.equal(found.network(image), made(image))


@pytest.mark.parametrize("shape", [(97, 201), (201, 97), (64, 64), (40, 61), (131, 64)])
@pytest.mark.parametrize("window", [0, 32])
def test_masks_lie_on_the_image_whatever_its_shape(shape, window):
    scan = rectangle(*shape)
    for before in ((), (CropBorder(),)):
        found = infer(oracle(*before), scan, window)
        assert found.shape == (1, *shape)
        assert iou(found[0] > 0.5, scan.image[0] > 128) > 0.9


@pytest.mark.parametrize("shape", [(9, 20), (32, 32), (33, 31), (60, 71), (48, 130)])
def test_windows_of_a_pointwise_network_make_the_whole_image(shape):
    image = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    whole = torch.from_numpy(image / np.float32(255)).sub(0.5).mul(40).sigmoid()
    np.testing.assert_allclose(infer(oracle(size=256), Scan(image, "0..1"), 32), whole, atol=1e-5)


def test_masks_have_the_dice_that_was_measured(saved: Path, pictures: Path, tmp_path: Path, cache: Path):
    assert vesalius("predict", saved, pictures, tmp_path / "out").status == 0
    rows = results.select(results.read(saved / results.FILE), name="dice")
    measured = {(row.patient, row.structure): row.value for row in rows}
    data, found = open_dataset(PHANTOM), {}
    (id,) = data.splits()["test"]
    labels, patient = data.labels(id), key_hash(salt_of(cache), data.patient(id))
    for name in STRUCTURES:
        own = mask(tmp_path / "out" / "folder" / f"{id}-{name}.png")
        assert set(np.unique(own)) <= {0, 255}
        found[patient, name] = dice(own > 0, labels.mask[labels.structures.index(name)])
    assert found == pytest.approx(measured)
    assert max(found.values()) > 0.05


def test_the_card_of_a_saved_network_says_where_it_comes_from(saved: Path, tiny_run: Path):
    (path,) = (saved / "networks").iterdir()
    assert path.name == f"{tiny_run.name}-2-0.safetensors"
    card, encoder = checkpoint.describe(path), zoo.load(tiny_run).card
    assert (card.kind, card.classes, card.method, card.parent) == (
        "segmentation", list(STRUCTURES), "fewshot", tiny_run.name,
    )  # fmt: skip
    assert (card.notices, card.prepare, card.data[:-1]) == (encoder.notices, encoder.prepare, encoder.data)
    assert {"dataset": "phantom", "images": 2, "patients": 2}.items() <= card.data[-1].items()


def test_scratch_inherits_the_preparation_and_nothing_that_was_learned(tiny_run: Path, tmp_path: Path):
    trained, scratch = contestants([tiny_run, "scratch"], "fewshot")
    config = segmentation.Config()
    keep = network.keeper(tmp_path, scratch.name, scratch.loaded.card, open_dataset(PHANTOM), ("a",), "fewshot", config)
    keep(UNet(scratch.backbone(7), 1, widths=(8,)), [], Repeat(4, 3, 7, ()), None)
    card = checkpoint.describe(tmp_path / "networks" / "scratch-4-3.safetensors")
    assert (card.parent, len(card.data), card.notices, card.prepare) == (None, 1, [], trained.loaded.card.prepare)


def test_random_weights_may_be_those_of_any_run(tiny_run: Path, tmp_path: Path):
    torch.manual_seed(0)
    other, file = zoo.build("resnet34"), tmp_path / "other.safetensors"
    checkpoint.write(file, other.state_dict(), Card(zoo.description("resnet34", other)))
    found = {one.name: one for one in contestants([tiny_run, "scratch", f"scratch:{file}", file], "fewshot")}
    assert [one.random for one in found.values()] == [False, True, True, False]
    depths = [len(list(one.backbone(0).modules())) for one in found.values()]
    assert depths[0] == depths[1] < depths[2] == depths[3]
    with pytest.raises(SettingError, match="no run given"):
        list(contestants([f"random:{file}"], "linear"))
    again = [next(found[name].backbone(seed).parameters()) for seed in (1, 1, 2) for name in ["scratch other"]]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])


def test_probabilities_are_sixteen_bits_and_the_mask_is_where_they_exceed_a_half(saved, pictures, tmp_path):
    image = next(pictures.rglob("*.png"))
    assert vesalius("predict", saved, image, tmp_path / "out", "--probabilities", "--window", 32).status == 0
    found = mask(tmp_path / "out" / f"{image.stem}-heart-probability.png")
    assert found.dtype == np.uint16
    assert np.array_equal(mask(tmp_path / "out" / f"{image.stem}-heart.png") == 255, found > 65535 / 2)
    scan = Scan(mask(image)[None], "0..1")
    np.testing.assert_allclose(found / 65535, infer(network.load(saved), scan, 32)[0], atol=1e-5)


def test_the_largest_part_of_each_structure_alone(saved: Path, pictures: Path, tmp_path: Path):
    image = next(pictures.rglob("*.png"))
    for folder, flags in (("all", ()), ("largest", ("--largest",))):
        assert vesalius("predict", saved, image, tmp_path / folder, "--window", 32, *flags).status == 0
    for path in sorted((tmp_path / "all").glob("*.png")):
        every, kept = mask(path) == 255, mask(tmp_path / "largest" / path.name) == 255
        assert np.array_equal(kept, largest_parts(every[None])[0])
    assert (
        "or not of --largest" in vesalius("predict", saved, image, tmp_path / "all", "--window", 32, "--largest").error
    )


def test_bad_files_are_set_aside_and_the_others_done(saved: Path, pictures: Path, tmp_path: Path):
    good = next(pictures.rglob("*.png"))
    (pictures / "torn.png").write_bytes(good.read_bytes()[:200])
    (pictures / "scan.nii").write_bytes(bytes(344) + b"n+1\0")
    done = vesalius("predict", saved, pictures, tmp_path / "out")
    aside = {Path(row["file"]).name: row["reason"] for row in json.loads((tmp_path / "out/set_aside.json").read_text())}
    assert done.status == 0
    assert aside.keys() == {"torn.png", "scan.nii"}
    assert "is a volume" in aside["scan.nii"]
    assert "2 segmented, 0 were there already, 2 set aside" in done.err
    alone = vesalius("predict", saved, pictures / "scan.nii", tmp_path / "alone")
    assert alone.error.startswith(f"{pictures / 'scan.nii'}: none of 1 images could be segmented")


def test_what_is_there_stays_unless_it_is_to_be_overwritten(saved: Path, pictures: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert "2 segmented" in vesalius("predict", saved, pictures, out).err
    first, second, *_ = sorted(out.rglob("*.png"))
    before = second.read_bytes()
    second.unlink()
    first.write_bytes(b"touched")
    assert "1 segmented, 1 were there already" in vesalius("predict", saved, pictures, out).err
    assert (first.read_bytes(), second.read_bytes()) == (b"touched", before)
    assert "holds masks that are not of this" in vesalius("predict", saved, pictures, out, "--window", 32).error
    assert "2 segmented" in vesalius("predict", saved, pictures, out, "--overwrite").err
    assert mask(first).shape == (64, 64)


def test_masks_do_not_go_among_the_images(saved: Path, pictures: Path):
    assert "lies in the folder of the images" in vesalius("predict", saved, pictures, pictures / "out").error
    assert "window is 8" in vesalius("predict", saved, pictures, pictures / "out", "--window", 8).error
    assert not (pictures / "out").exists()


def test_other_files_than_networks_are_refused(saved: Path, tiny_run: Path, tmp_path: Path):
    for file, said in (
        (tiny_run / "encoder.safetensors", "is of kind 'encoder', not 'segmentation'"),
        (tiny_run / "last.safetensors", "is of kind 'training state'"),
        (tiny_run, "holds no fine-tuned network"),
        (tmp_path / "lost.safetensors", "no such file"),
    ):
        assert said in vesalius("predict", file, PHANTOM, tmp_path / "out").error
    (folder := tmp_path / "networks").mkdir()
    for name in "ab":
        shutil.copy(next((saved / "networks").iterdir()), folder / f"{name}.safetensors")
    assert "holds 2 networks. Give one of a.safetensors, b.safetensors" in vesalius(
        "predict", tmp_path, PHANTOM, tmp_path / "out"
    ).error  # fmt: skip


@pytest.mark.parametrize(
    ("decoder", "said"),
    [
        ({"widths": [4], "skips": True}, "does not fit the network"),
        ({"widths": [8]}, "describes no network known here"),
        ({"widths": [], "skips": True}, "describes no network known here"),
        ({"widths": [-8], "skips": True}, "describes no network known here"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, decoder, said):
    made = UNet(zoo.build("resnet18"), 1, widths=(8,))
    card = Card(zoo.description("resnet18", made.backbone), kind="segmentation", classes=["a"])
    config = {"size": 32, "decoder": decoder}
    checkpoint.write(tmp_path / "n.safetensors", made.state_dict(), replace(card, config=config))
    with pytest.raises(CheckpointError, match=said):
        network.load(tmp_path / "n.safetensors")

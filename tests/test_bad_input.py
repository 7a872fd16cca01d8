"""Bad input: one line that names file, reason and remedy, before long work where possible; checkpoints stay whole."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from fakes.command import Outcome, vesalius
from fakes.pictures import fundus, radiograph
from vesalius import checkpoint, zoo
from vesalius.chance import generator
from vesalius.checkpoint import Card

pytestmark = pytest.mark.usefixtures("own_cache")
QUICK = (
    "--backbone resnet18 --batch 4 --epochs 1 --max-steps 3 --holdout 0 "
    "--threads 1 --workers 0 --device cpu --log-steps 1"
)


def pretrain(data: object, out: Path, *more: object, method: str = "fakes.contrast") -> Outcome:
    return vesalius("pretrain", method, data, "--out", out, *QUICK.split(), *more)


def pictures(root: Path, count: int, shape: tuple[int, int] = (48, 40)) -> Path:
    root.mkdir(exist_ok=True)
    for i in range(count):
        Image.fromarray(radiograph(generator(7, i), shape)).save(root / f"good{i}.png")
    return root


def spoil(root: Path) -> dict[str, str]:
    """Every kind of broken file: name -> a word of the reason."""
    whole = (root / "good0.png").read_bytes()
    (root / "zero.png").write_bytes(b"")
    (root / "torn.png").write_bytes(whole[: len(whole) // 2])
    (root / "text.jpg").write_bytes(b"this is no image")
    tifffile.imwrite(root / "nan.tif", np.full((48, 40), np.nan, np.float32))
    (root / "volume.nii.gz").write_bytes(b"\x1f\x8b" + bytes(400))
    return {"zero": "zero bytes", "torn": "PNG", "text": "not a PNG", "nan": "NaN", "volume": "volume"}


def last(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(run / "last.safetensors")[0]


# Data


def test_an_empty_folder(tmp_path: Path) -> None:
    error = pretrain(tmp_path, tmp_path / "run").error
    assert error.startswith(f"{tmp_path}: no images")
    assert not (tmp_path / "run" / "config.json").exists()  # so that the same command may be given again


def test_a_folder_that_is_not_there_and_a_file_in_its_place(tmp_path: Path) -> None:
    assert "no such folder. Check the path." in pretrain(tmp_path / "none", tmp_path / "run").error
    (tmp_path / "scan.png").write_bytes(b"")
    assert "is a file, not a folder" in pretrain(tmp_path / "scan.png", tmp_path / "run").error


def test_one_image(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 1)
    error = pretrain(data, tmp_path / "run").error
    assert error == "1 images to train on are fewer than one batch of 4. Give more data, or --batch 1."
    assert "of one patient, so none can be held out" in pretrain(data, tmp_path / "run", "--holdout", 0.5).error


def test_bad_files_among_good_ones_are_set_aside_and_named_and_the_run_goes_on(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 12)
    reasons = spoil(data)
    done = pretrain(data, tmp_path / "run")
    assert done.status == 0
    rows = {Path(row["file"]).name: row["reason"] for row in json.loads((tmp_path / "run/set_aside.json").read_text())}
    assert len(rows) == len(reasons)
    for name, word in reasons.items():
        assert [why for file, why in rows.items() if file.startswith(name) and word in why], (name, rows)
        assert f"set aside: {data / name}" in done.err
    card = checkpoint.describe(tmp_path / "run" / "encoder.safetensors")
    assert (card.data[0]["images"], card.data[0]["set_aside"]) == (12, 5)


def test_nothing_but_bad_files(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 1)
    spoil(data)
    (data / "good0.png").unlink()
    error = pretrain(data, tmp_path / "run").error
    assert "none of the first 5 of 5 images could be prepared; this one: " in error


def test_images_of_one_pixel_and_too_small_ones_are_set_aside_and_named(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 12)
    Image.new("L", (1, 1)).save(data / "dot.png")
    Image.new("L", (40, 20)).save(data / "flat.png")
    done = pretrain(data, tmp_path / "run", "--method.least", 32)
    assert done.status == 0
    rows = json.loads((tmp_path / "run" / "set_aside.json").read_text())
    assert {Path(row["file"]).name for row in rows} == {"dot.png", "flat.png"}
    assert all("at least 32 voxels" in row["reason"] for row in rows)
    assert "set aside" in done.err


@pytest.mark.parametrize(("method", "setting"), [("adam", "levels"), ("moco", "windows")])
def test_images_smaller_than_the_granularity_allows(tmp_path: Path, method: str, setting: str) -> None:
    data = pictures(tmp_path / "data", 8, (24, 40))
    more = ("--method.bank", 4, "--method.groups", 1, f"--method.{setting}", 4)
    error = pretrain(data, tmp_path / "run", *more, method=method).error
    assert error.startswith(
        f"{data / 'good0.png'}: none of 8 images can be used; this one: an image of shape (24, 40) cut"
    )
    assert f"Lower method.{setting}, or use images of at least 32 voxels" in error


def test_volumes_given_to_a_2d_run_and_images_to_a_3d_one(tmp_path: Path) -> None:
    volumes = "phantom:?ndim=3&bodies=4&voxel=12"
    error = pretrain(volumes, tmp_path / "run").error
    assert "where 2-D ones are needed. Set ndim to 3" in error
    images = pictures(tmp_path / "data", 4)
    assert "where 3-D ones are needed. Set ndim to 2" in pretrain(images, tmp_path / "run", "--ndim", 3).error


def test_colour_and_grey_sources_do_not_mix(tmp_path: Path) -> None:
    grey, colour = pictures(tmp_path / "grey", 4), tmp_path / "colour"
    colour.mkdir()
    for i in range(4):
        Image.fromarray(fundus(generator(3, i))).save(colour / f"{i}.png")
    error = vesalius(
        "pretrain", "fakes.contrast", grey, colour, "--out", tmp_path / "run", *QUICK.split(), "--no-grey"
    ).error
    assert "4 of 1 channel of uint8 in 0..1 and 4 of 3 channels of uint8 in 0..1" in error
    assert "leave out --no-grey" in error
    error = pretrain(colour, tmp_path / "run", "--no-grey", "--in-channels", 1).error
    assert "the images have 3 channels and the network takes 1. Set in_channels to 3" in error
    assert vesalius("pretrain", "fakes.contrast", grey, colour, "--out", tmp_path / "run", *QUICK.split()).status == 0


def test_a_grey_image_among_colour_ones_is_set_aside(tmp_path: Path) -> None:
    for i in range(12):
        Image.fromarray(fundus(generator(3, i))).save(tmp_path / f"{i}.png")
    Image.fromarray(radiograph(generator(3))).save(tmp_path / "grey.png")
    assert pretrain(tmp_path, tmp_path / "run", "--no-grey").status == 0
    (row,) = json.loads((tmp_path / "run" / "set_aside.json").read_text())
    assert row["file"].endswith("grey.png")
    assert row["reason"].startswith("1 channel of uint8 in 0..1, while most images are of 3 channels")


def test_patients_to_keep_out(tmp_path: Path, radiographs: Path) -> None:
    spec, listed = f"{radiographs}?manifest=manifest.csv", tmp_path / "listed.txt"
    assert f"{listed}: cannot be read" in pretrain(spec, tmp_path / "run", "--exclude-patients", listed).error
    listed.write_text("Nobody\n")
    error = pretrain(spec, tmp_path / "run", "--exclude-patients", listed).error
    assert error.startswith(f"{listed}: none of its 1 patients is in the data.")
    listed.write_text("000\n1\n")  # 001 in the manifest
    assert "leading zeros" in pretrain(spec, tmp_path / "run", "--exclude-patients", listed).error
    listed.write_text("\n".join(f"{i:03}" for i in range(8)))
    assert "nothing is left" in pretrain(spec, tmp_path / "run", "--exclude-patients", listed).error
    listed.write_text("000\n001\n")
    done = pretrain(spec, tmp_path / "run", "--exclude-patients", listed)
    assert "kept out 4 of 16 images" in done.err
    card = checkpoint.describe(tmp_path / "run" / "encoder.safetensors")
    assert (card.data[0]["images"], card.data[0]["excluded"]) == (12, 4)


# Checkpoints


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest encoder there is, in 3-D."""
    path = tmp_path_factory.mktemp("encoders") / "volume.safetensors"
    network = zoo.build("resnet18", 3)
    tensors = {name: value.to(torch.bfloat16) for name, value in network.state_dict().items()}
    prepare = [{"name": "Dimensions", "ndim": 3}]
    checkpoint.write(path, tensors, Card(backbone=zoo.description("resnet18", network), prepare=prepare))
    return path


def damaged(tmp_path: Path, kind: str, encoder: Path) -> Path:
    path = tmp_path / f"{kind}.safetensors"
    content = encoder.read_bytes()
    match kind:
        case "missing":
            pass
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
        case "noise":
            path.write_bytes(generator(1).bytes(1000))
        case "pickle":
            torch.save({"conv1.weight": torch.ones(1)}, path)
        case "old pickle":
            torch.save({"conv1.weight": torch.ones(1)}, path, _use_new_zipfile_serialization=False)
    return path


DAMAGE = {
    "missing": "no such file",
    "empty": "is not a readable safetensors file",
    "truncated": "is not a readable safetensors file",
    "noise": "is not a readable safetensors file",
    "pickle": "is a pickle",
    "old pickle": "is a pickle",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_no_checkpoint_is_refused_wherever_one_is_asked_for(tmp_path: Path, small: Path, kind: str) -> None:
    path = damaged(tmp_path, kind, small)
    data = "phantom:?bodies=4&size=64"
    for done in (
        vesalius("embed", path, data, "--out", tmp_path / "features.npz"),
        vesalius("export", path, "--out", tmp_path / "out.safetensors"),
        pretrain(data, tmp_path / "run", "--start", path),
    ):
        assert done.error.startswith(f"{path}: {DAMAGE[kind]}")
        assert len(done.error.split(". ")) > 1  # a remedy follows
        assert "preparing" not in done.err
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_pickle_is_refused_by_its_own_name_too(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(1)}, tmp_path / "weights.pth")
    assert "is a pickle" in vesalius("embed", tmp_path / "weights.pth", "phantom", "--out", tmp_path / "x.npz").error


def test_a_start_of_another_architecture(tmp_path: Path, small: Path) -> None:
    error = pretrain("phantom", tmp_path / "run", "--start", small).error
    assert error.startswith(f"{small}: holds a resnet18 in 3-D with 3 channels, not a resnet18 in 2-D with 3 channels.")


def test_an_encoder_of_volumes_given_images(tmp_path: Path, small: Path) -> None:
    data = pictures(tmp_path / "data", 2)
    error = vesalius("embed", small, data, "--out", tmp_path / "features.npz").error
    assert "an image of 48 x 40 voxels where 3-D ones are needed" in error
    assert not (tmp_path / "features.npz").exists()


def test_weights_that_do_not_fit_their_card(tmp_path: Path, small: Path) -> None:
    tensors, card = checkpoint.read(small)
    tensors.pop("conv1.weight")
    checkpoint.write(tmp_path / "less.safetensors", tensors, card)
    error = vesalius("export", tmp_path / "less.safetensors", "--out", tmp_path / "out.safetensors").error
    assert "does not fit the network: 1 missing (conv1.weight)" in error


def test_a_run_of_another_architecture_is_not_resumed(tmp_path: Path, tiny_run: Path) -> None:
    config, before = tiny_run / "config.json", (tiny_run / "last.safetensors").stat()
    error = vesalius("pretrain", "--config", config, "--resume", "--backbone", "resnet34").error
    assert error.startswith(f"{config}: was run with backbone resnet18, not resnet34.")
    error = vesalius("pretrain", "--config", config, "--resume", "--method.bank", 32, "--optim.lr", 0.1).error
    assert "was run with method.bank 16, not 32; optim.lr 0.03, not 0.1." in error
    # Settings forged to fit: the weights themselves are looked at, and left alone.
    forged = tmp_path / "forged"
    forged.mkdir()
    os.link(tiny_run / "last.safetensors", forged / "last.safetensors")
    settings = json.loads(config.read_text()) | {"backbone": "resnet34", "out": str(forged)}
    (forged / "config.json").write_text(json.dumps(settings))
    error = vesalius("pretrain", "--config", forged / "config.json", "--resume").error
    assert error.startswith(f"{forged / 'last.safetensors'}: does not fit the network: ")
    assert (tiny_run / "last.safetensors").stat().st_mtime_ns == before.st_mtime_ns


# Runs and folders


def test_a_run_that_never_saved_is_resumed_from_its_start(tmp_path: Path) -> None:
    data, out = pictures(tmp_path / "data", 12), tmp_path / "run"
    assert "3" in pretrain(data, out, "--method.trouble", "loss", "--method.at", 0).error
    (out / ".last.safetensors.123.tmp").write_bytes(b"what a killed process was writing")
    assert "holds a run already" in pretrain(data, out).error
    settings = json.loads((out / "config.json").read_text())
    settings["method"]["trouble"] = ""
    (out / "config.json").write_text(json.dumps(settings))
    done = vesalius("pretrain", "--config", out / "config.json", "--resume")
    assert done.status == 0
    assert f"nothing is saved in {out} yet" in done.err
    assert not list(out.glob(".*.tmp"))
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_resume_with_other_data_says_so(tmp_path: Path) -> None:
    data, out = pictures(tmp_path / "data", 12), tmp_path / "run"
    assert pretrain(data, out).status == 0
    (data / "good0.png").unlink()
    assert "the data are not those" in vesalius("pretrain", "--config", out / "config.json", "--resume").err


def test_a_run_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert pretrain("phantom", tmp_path / "file").error.startswith(f"{tmp_path / 'file'}: is a file, not a folder.")
    assert "nothing can be written there" in pretrain("phantom", tmp_path / "file" / "run").error
    done = pretrain("phantom", Path("/proc/nowhere/run"))
    assert done.error.startswith("/proc/nowhere/run: nothing can be written there")
    assert "preparing" not in done.err


def test_a_disk_without_room_is_noticed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    done = pretrain("phantom", tmp_path / "run", "--method.bank", 4, "--method.groups", 1, method="adam")
    # ResNet-18 and a head are 46 MB: two towers and momentum, twice, and an encoder for each of three stages and the end.
    assert "has 0.1 GB free, and the run may write 0.5 GB. Make room" in done.error
    assert "preparing" not in done.err


FULL = """
import resource, sys
from vesalius.train import loop
from vesalius.cli import main
save = loop.Training._save
def full(self, place, optimizer):
    if place.step == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    save(self, place, optimizer)
loop.Training._save = full
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_while_saving_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    data, out = pictures(tmp_path / "data", 12), tmp_path / "run"
    words = [
        "pretrain",
        "fakes.contrast",
        str(data),
        "--out",
        str(out),
        *QUICK.split(),
        "--save-steps",
        "1",
        "--method.weights",
        "300000",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", FULL, *words], capture_output=True, text=True, env=environment, check=False
    )
    error = Outcome(done.returncode, done.stdout, done.stderr).error
    assert error.startswith(f"{out / 'last.safetensors'}: could not be written (File too large). Make room")
    assert checkpoint.describe(out / "last.safetensors").state["place"]["step"] == 1
    assert not list(out.glob(".*.tmp"))
    done = vesalius("pretrain", "--config", out / "config.json", "--resume")
    assert done.status == 0, done.err
    steps = [json.loads(line)["total_step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]


# Training


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_with_the_batch_saved_and_the_weights_sound(tmp_path: Path, what: str) -> None:
    data, out = pictures(tmp_path / "data", 12), tmp_path / "run"
    error = pretrain(data, out, "--method.trouble", what, "--save-steps", 1).error
    bad = out / "bad_batch_rank0.safetensors"
    assert error.startswith(f"{bad}: the {what} is nan at stage 0, step 1; its batch is saved here. Lower optim.lr")
    batch, card = checkpoint.read(bad)
    assert (batch["pixels"].shape, batch["pixels"].dtype, card.step) == ((4, 1, 8, 8), torch.uint8, 1)
    assert all(tensor.isfinite().all() for tensor in last(out).values())


def test_memory_that_is_full_says_which_setting_to_lower(tmp_path: Path) -> None:
    error = pretrain(pictures(tmp_path / "data", 12), tmp_path / "run", "--method.trouble", "memory").error
    assert error.startswith("the device's memory is full. Use a --batch below 4")


def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    done = pretrain(pictures(tmp_path / "data", 12), tmp_path / "run", "--method.trouble", "signal")
    assert done.status == 143
    assert done.err.splitlines()[-1].endswith(f"vesalius pretrain --config {tmp_path / 'run' / 'config.json'} --resume")
    assert checkpoint.describe(tmp_path / "run" / "last.safetensors").state["place"]["step"] == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_loader_worker_stays_one_line(tmp_path: Path, workers: int) -> None:
    more = ("--method.trouble", "crop", "--workers", workers)
    error = pretrain(pictures(tmp_path / "data", 12), tmp_path / "run", *more).error
    assert error == "some.b2nd: gone from the cache. Prepare again."


# Settings


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--bach 8", "unknown setting --bach. Did you mean batch"),
        ("--method.siez 8", "unknown setting --method.siez. Did you mean method.size"),
        ("--epochs many", "--epochs: invalid literal for int() with base 10: 'many'"),
        ("--batch many", "--batch: no type matching INT|{auto} could be instantiated from ['many']. See: vesalius"),
        ("--optim.kind lion", "'lion' for argument '--optim.kind'. Expected one of ('sgd', 'adamw')"),
        ("--batch 0", "setting batch is 0. It must be at least 1."),
        ("--optim.lr -1", "setting optim.lr is -1.0. It must be at least 0."),
        ("--optim.lr nan", "setting optim.lr is nan"),
        ("--holdout 1", "setting holdout is 1.0. It is a share of patients"),
        ("--ndim 4", "setting ndim is 4. Images have 2 or 3 dimensions."),
        ("--threads 0", "setting threads is 0"),
        ("--seed -1", "setting seed is -1"),
        ("--device tpu", "setting device is 'tpu'. Choose one of"),
        ("--backbone resnet20", "unknown backbone resnet20. Did you mean resnet"),
        ("--batch 6 --accumulate 4", "setting batch is 6. It must be divisible by accumulate 4"),
        ("--accumulate 2", "fakes.contrast cannot accumulate: its negatives are the other images of the batch."),
        ("--method.stages 0", "leave no stage to train"),
        ("--batch 64", "16 images to train on are fewer than one batch of 64. Give more data, or --batch 16."),
    ],
)
def test_a_setting_that_cannot_be_meant(tmp_path: Path, radiographs: Path, words: str, message: str) -> None:
    done = pretrain(radiographs, tmp_path / "run", *words.split())
    assert message in done.error
    assert done.status == 2
    assert "preparing" not in done.err
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--method.bank 6", "a bank of 6 keys does not hold a whole number of batches of 4. Make the bank a multiple"),
        ("--method.bank 8 --method.groups 3", "3 batch norm groups do not split 1 x 4 samples evenly"),
        ("--method.bank 64 --batch 32", "fewer than one batch of 32. Give more data, or --batch 16."),
        ("--method.bank 64 --batch 32 --holdout 0.5", "8 images to train on are fewer than one batch of 32."),
        ("--method.bank 4 --method.groups 4", "4 batch norm groups leave one of 1 x 4 samples in each."),
        ("--method.levels -1", "setting method.levels is (-1,). It must be at least 0."),
        ("--method.size 0", "setting method.size is 0. It must be at least 1."),
        ("--method.momentum 2", "setting method.momentum is 2.0. It must be from 0 to 1."),
        ("--method.scale 1.0 0.2", "setting method.scale is 1.0 0.2. It must be the least and the greatest"),
    ],
)
def test_the_settings_of_a_method_must_fit_together(
    tmp_path: Path, radiographs: Path, words: str, message: str
) -> None:
    done = pretrain(f"{radiographs}?manifest=manifest.csv", tmp_path / "run", *words.split(), method="adam")
    assert message in done.error
    assert "preparing" not in done.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adan", "unknown method adan. Did you mean adam?"),
        ("./data", "unknown method ./data. Known: adam, moco"),
        ("fakes.nothing", "method fakes.nothing cannot be imported"),
        ("fakes.bare", "method fakes.bare does not offer crops, augment, Method."),
    ],
)
def test_a_method_that_is_none(tmp_path: Path, name: str, message: str) -> None:
    assert message in pretrain("phantom", tmp_path / "run", method=name).error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[1, 2]", "do not name a method. Give the config.json of a run."),
        ('{"name": 3}', "do not name a method"),
        ('{"dependencies": {}}', "do not name a method"),
        ('{"name": "left-pad", "version": "1.0"}', "unknown method left-pad"),
        ('{"name": "adam", "version": "1.0"}', "unknown setting version"),
        ('{"name": "adam", "batch": "8"}', "setting batch is '8'. It must be"),
        ('{"name": "adam", "method": {"bnak": 8}}', "unknown setting method.bnak. Did you mean bank"),
        ('{"name": "adam", "epochs": "8"}', "setting epochs is '8'. It must be int."),
        ('{"name": "adam", "batch": -8}', "setting batch is -8"),
    ],
)
def test_a_config_of_another_kind(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    error = vesalius("pretrain", "--config", path, "--out", tmp_path / "run").error
    assert error.startswith(f"{path}: ")
    assert message in error

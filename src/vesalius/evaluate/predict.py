"""`vesalius predict RUN INPUT OUT`: a fine-tuned network over images; masks in the voxels of each image as read.

PNG of 2-D images; of volumes NIfTI with the affine of the input, 0 and 1.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from tyro.conf import arg

from vesalius import checkpoint
from vesalius.compute import Compute, choose, device_of
from vesalius.data.outputs import SUFFIX, SetAside, output_names, write_output
from vesalius.data.prepare import prepare, restore_mask
from vesalius.data.scan import Scan
from vesalius.errors import DataError, SettingError, VesaliusError
from vesalius.evaluate import patches, segmentation
from vesalius.evaluate.images import Images, open_images
from vesalius.evaluate.metrics import largest_parts
from vesalius.evaluate.network import Segmenter, load, network_file
from vesalius.evaluate.windows import slide
from vesalius.features import evaluating
from vesalius.features.subjects import unlabelled
from vesalius.models.backbone import takes
from vesalius.progress import say, shower

LOG = "predict.json"
KINDS = ("", "-probability")
LEAST = 32  # px, side of a window: the stride of the coarsest features
Probabilities = NDArray[np.float32]


def predict_command(
    run: Annotated[str, arg(metavar="RUN")],
    input: Annotated[str, arg(metavar="INPUT")],
    out: Annotated[str, arg(metavar="OUT")],
    /,
    probabilities: bool = False,
    window: int = 0,
    largest: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> None:
    """Segment images with a fine-tuned network: STEM-STRUCTURE.png, 0 and 255, or of volumes .nii.gz, 0 and 1.

    Args:
        run: a network that `vesalius evaluate` saved in OUT/networks, or a folder of results with one
        input: an image, a folder of images, or a data set as NAME:PATH
        out: folder to write to, sub-folders as in the input
        probabilities: also write STEM-STRUCTURE-probability.png, 16 bit, 65535 for 1, or of volumes .nii.gz, 0..1
        window: side of a window that slides over the prepared 2-D image, px; 0 = the whole image, resized as in training
        largest: of each structure only the largest connected part becomes its mask; probabilities stay as they are
        overwrite: delete the masks of these images that are there, and make them anew
        device: auto, cpu or cuda
        precision: auto, fp32 or bf16; auto: bf16 where the device is fast at it
    """
    where = choose(device, precision)
    flags: dict[str, Any] = {
        "probabilities": probabilities,
        "window": window,
        "largest": largest,
        "overwrite": overwrite,
    }
    print(predict(run, input, Path(out), **flags, compute=where))


def predict(
    run: str | Path,
    source: str,
    out: Path,
    *,
    probabilities: bool = False,
    window: int = 0,
    largest: bool = False,
    overwrite: bool = False,
    compute: Compute | None = None,
) -> Path:
    """Masks of every image of `source` in `out`. A bad image is set aside, said, and listed in OUT/set_aside.json.

    What is there already is left as it is, so that a call that was stopped goes on. Errors: CheckpointError for the
    network or the disk; SettingError where OUT holds other masks; DataError where not one image could be segmented.
    """
    if window and window < LEAST:
        raise SettingError(f"window is {window}", remedy=f"Give 0 for the whole image, or at least {LEAST} px.")
    segmenter, images, where = _load(run, window), open_images(source), compute or choose()
    where.place(segmenter.network)
    suffix = SUFFIX[segmenter.ndim]
    names = output_names(images.ids, segmenter.structures, KINDS)
    _outside(out, images)
    files = [out / f"{name}{kind}{suffix}" for stems in names.values() for name in stems for kind in KINDS]
    about = {
        "network": _digest(Path(run)),
        "input": images.name,
        "window": window,
        **({"largest": True} if largest else {}),
    }
    _claim(out, files, about, overwrite)
    aside, made, show = SetAside(), 0, shower("segmenting")
    for done, (id, stems) in enumerate(names.items(), 1):
        kinds = KINDS if probabilities else KINDS[:1]
        wanted = {(k, kind): out / f"{name}{kind}{suffix}" for k, name in enumerate(stems) for kind in kinds}
        wanted = {place: path for place, path in wanted.items() if not path.exists()}
        with where.autocast():
            found = _segment(segmenter, images, id, window) if wanted else None
        if isinstance(found, str):
            aside.add(images.path(id) or id, found)
        elif found is not None:
            _write(wanted, *found, largest)
            made += 1
        show(done, len(names))
    aside.write(out)
    bad = len(aside.rows)
    if bad and bad == len(names):
        first = aside.rows[0]
        raise DataError(f"none of {bad} images could be segmented; the first: {first['reason']}", file=first["file"])
    say(f"{made} segmented, {len(names) - made - bad} were there already, {bad} set aside")
    return out


def infer(segmenter: Segmenter, scan: Scan, window: int = 0) -> Probabilities:
    """A scan as stored -> (K, *S) probabilities in its own voxels. DataError: a scan that cannot be prepared, or of
    other channels."""
    steps = segmenter.steps
    prepared = prepare(scan, steps)
    own, channels = int(segmenter.card.backbone["in_channels"]), len(prepared.scan.image)
    if not takes(own, channels):
        remedy = "Give all of them, in the order of its training."
        raise DataError(f"has {channels} channels, and the network was trained on {own}", remedy=remedy)
    subject = unlabelled(prepared)
    if segmenter.ndim == 3:
        (found,) = patches.predict(segmenter.network, [subject], segmenter.windows)
    elif window:
        with evaluating(segmenter.network):
            image = subject.image.to(device_of(segmenter.network))
            logits = slide(segmenter.network, image, (window,) * len(subject.shape))
            found = logits.float().sigmoid().cpu().numpy()
    else:
        (found,) = segmentation.predict(segmenter.network, [subject], segmenter.size)
    return np.asarray(restore_mask(found, steps, prepared.trace), np.float32)


def _load(run: str | Path, window: int) -> Segmenter:
    """CheckpointError where the network cannot be loaded. SettingError: an unknown step, or a window over volumes."""
    segmenter = load(run)
    _ = segmenter.steps  # what cannot be applied to any image is no fault of the first
    if window and segmenter.ndim == 3:
        raise SettingError("a window is for 2-D images", remedy="Volumes are seen in patches as large as in training.")
    return segmenter


def _segment(segmenter: Segmenter, images: Images, id: str, window: int) -> tuple[Probabilities, Scan] | str:
    """(K, *S) probabilities in the voxels of the image as read, and that image; or why there are none."""
    try:
        scan = images.read(id)
        return infer(segmenter, scan, window), scan
    except VesaliusError as error:
        return f"{error.reason}. {error.remedy}".removesuffix(". ")
    except Exception as error:  # noqa: BLE001 - a decoder may raise anything, and one file must not stop the rest
        return " ".join(f"{type(error).__name__}: {error}".split())


def _write(wanted: Mapping[tuple[int, str], Path], found: Probabilities, scan: Scan, largest: bool) -> None:
    """(structure, kind) -> file, each whole or not at all. DataError where the disk refuses."""
    masks = largest_parts(found > 0.5) if largest else found > 0.5
    for (k, kind), path in wanted.items():
        write_output(path, found[k] if kind else masks[k], scan)


def _outside(out: Path, images: Images) -> None:
    """SettingError where masks would lie among the images, to be taken for images by the next call."""
    if images.root is not None and out.resolve().is_relative_to(images.root.resolve()):
        raise SettingError("lies in the folder of the images", file=out, remedy="Choose a folder outside of it.")


def _claim(out: Path, files: Sequence[Path], about: dict[str, Any], overwrite: bool) -> None:
    """Say in OUT whose masks these are: those of another network, input or window are no result of this call.

    SettingError where there are others. overwrite: they are deleted first, so that what a stopped call leaves is of one
    kind. CheckpointError where nothing can be written.
    """
    for folder in sorted({out, *(file.parent for file in files)}):
        checkpoint.check_writable(folder)
    log = out / LOG
    same = log.exists() and log.read_text(encoding="utf-8") == json.dumps(about, indent=2) + "\n"
    there = [file for file in files if file.exists()]
    if there and not same and not overwrite:
        reason = "holds masks that are not of this network, input and window, or not of --largest alike"
        raise SettingError(reason, file=out, remedy="Choose another folder, or --overwrite.")
    for file in there if overwrite else ():
        file.unlink()
    checkpoint.write_bytes(log, (json.dumps(about, indent=2) + "\n").encode())


def _digest(run: Path) -> str:
    """Of the network's file."""
    with network_file(run).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

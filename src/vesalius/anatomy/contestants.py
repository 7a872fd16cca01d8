"""Who is measured: the runs, and the controls that say what their numbers are worth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vesalius import features, zoo
from vesalius.anatomy.embedders import Embed, Placed, RawPixels, VoxelVectors, coordinates, embedder
from vesalius.anatomy.observe import Config
from vesalius.settings import to_dict
from vesalius.zoo import Loaded, Runs

CONTROLS = ("random", "raw_pixels", "coordinates")
OF_VOLUMES = ("scanner",)  # a control of volumes alone
# What is usual where an encoder of voxels is measured; of the controls, patches are small and maps coarse: volumes are large.
OF_VOXELS: Mapping[str, Any] = {"grid": 10, "sampled": 20}
SCANNER = Placed(scanner=True)
SIZE = 16  # of their patches
Vectors = Literal["auto", "patches", "voxels"]


@dataclass(frozen=True, eq=False)
class Contestant:
    """What is measured: a name, an embedding, the encoder's preparation of scans, and the settings that it is seen with."""

    name: str
    embed: Embed | VoxelVectors | Placed
    steps: Sequence[Any]
    config: Config
    about: Mapping[str, Any] = field(default_factory=dict)


def contestants(runs: Runs, size: int, device: str, vectors: Vectors = "auto", **config: Any) -> Iterator[Contestant]:
    """The runs, then the controls, prepared and seen as the first run is; a random network for each architecture.

    Raises CheckpointError where a run cannot be loaded; SettingError where two have one name.
    """
    loaded = {name: zoo.load(run) for name, run in zoo.named(runs, (*CONTROLS, *OF_VOLUMES))}
    first = next(iter(loaded.values()))
    voxels = any(_of_voxels(run.backbone, vectors) for run in loaded.values())
    if voxels:
        config, size = {**OF_VOXELS, **config}, size or SIZE
    for name, run in loaded.items():
        yield _contestant(name, run, _embed(run.backbone.to(device), vectors), size, config)
    architectures: dict[tuple[str, int, int], Loaded] = {}
    for run in loaded.values():
        card = run.card.backbone
        architectures.setdefault((card["name"], card["ndim"], card["in_channels"]), run)
    for (name, _, _), run in architectures.items():
        network = zoo.untrained(run.card, config.get("seed", 0)).eval().to(device)
        called = "random" if run is first else f"random_{name}"
        yield _contestant(called, run, _embed(network, vectors), size, config)
    yield _contestant("raw_pixels", first, RawPixels(), size, config)
    yield _contestant("coordinates", first, Placed() if voxels else coordinates, size, {**config, "composed": 0})
    if first.backbone.ndim == 3:
        yield _contestant(OF_VOLUMES[0], first, SCANNER, size, {**config, "composed": 0})


def _of_voxels(backbone: Any, vectors: Vectors) -> bool:
    return vectors == "voxels" or (vectors == "auto" and features.of_voxels(backbone))


def _embed(backbone: Any, vectors: Vectors) -> Embed | VoxelVectors:
    return VoxelVectors(backbone) if _of_voxels(backbone, vectors) else embedder(backbone)


def _contestant(
    name: str, run: Loaded, embed: Embed | VoxelVectors | Placed, size: int, config: Mapping[str, Any]
) -> Contestant:
    trained_with = run.card.config.get("method", {}).get("size") or Config.size
    chosen = Config(size=size or int(trained_with), **config)
    about = {**to_dict(chosen), "weights": zoo.fingerprint(run.backbone)}
    return Contestant(name, embed, run.steps, chosen, about)

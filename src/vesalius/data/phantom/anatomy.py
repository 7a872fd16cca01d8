"""A person's soft parts and the whole body: what is painted over what, and where its landmarks lie."""

from dataclasses import dataclass

import numpy as np

from vesalius.data.phantom.frame import LABEL, SIDES, Frame
from vesalius.data.phantom.shapes import Blob, Floats, Part, Stack, Tube
from vesalius.data.phantom.skeleton import bones

VERSION = 1  # of the generator: raise it whenever any pixel changes


@dataclass(frozen=True, eq=False)
class Body:
    """One person: parts in the order in which they are painted, landmarks (3,) in mm, and size (3,) against the canon."""

    parts: tuple[Part, ...]
    landmarks: dict[str, Floats]
    scale: Floats
    female: bool


def body(rng: np.random.Generator) -> Body:
    """A person drawn from `rng`; the same generator state gives the same person."""
    frame = Frame.draw(rng)
    landmarks: dict[str, Floats] = {}
    skeleton, marks = bones(frame)
    parts = _skin(frame)
    lungs = _lungs(frame, rng)
    parts += lungs
    parts += _abdomen(frame, rng, lungs, landmarks)
    parts += _mediastinum(frame)
    parts += _vessels(frame, rng, landmarks)
    parts += _heart(frame, landmarks)
    parts += _great_vessels(frame, landmarks)
    parts += _airway(frame, landmarks)
    return Body((*parts, *skeleton), landmarks | marks, frame.scale, frame.female)


def _skin(frame: Frame) -> list[Part]:
    """Skin and fat, and muscle within."""
    trunk = np.array(
        (  # z, x, half width, y, half depth: without fat
            (-440, 0, 166, 0, 108),
            (-330, 0, 150, 4, 102),
            (-220, 0, 146, 2, 106),
            (-140, 0, 153, 0, 108),
            (-60, 0, 154, -4, 104),
            (0, 0, 152, -8, 98),
            (45, 0, 164, -14, 88),
            (75, 0, 152, -18, 76),
            (95, 0, 116, -20, 66),
            (112, 0, 78, -20, 58),
            (132, 0, 58, -16, 54),
            (160, 0, 52, -10, 54),
            (230, 0, 56, -4, 60),
        ),
        float,
    )
    label, fat = LABEL["trunk"], frame.fat
    outer = trunk + (0, 0, 1, 0, 1) * np.interp(trunk[:, 0], (-100, 100), (fat, 0.4 * fat))[:, None]
    arms = [np.array(((150, -26, 52), (176, -28, 62), (198, -26, -20), (234, -24, -190))) * (s, 1, 1) for s, _ in SIDES]
    parts = [Part(Tube(frame.place(arm), np.array((34, 34, 40, 38)) + fat / 2), -95, 12, label) for arm in arms]
    if frame.female:
        size = 0.75 + frame.fat / 80
        for s, _ in SIDES:
            breast = Blob(frame.place((74 * s, 84, -84)), frame.lengths(56 * size, 40 * size, 52 * size), 0, 1.8)
            parts.append(Part(breast, -30, 25, label))
    parts.append(Part(Stack(frame.knots(outer), 2.5), -95, 15, label))
    parts += [Part(Tube(frame.place(arm), np.array((34, 32, 36, 34))), 45, 12, label) for arm in arms]
    return [*parts, Part(Stack(frame.knots(trunk), 2.5), 40, 18, label)]


def _lungs(frame: Frame, rng: np.random.Generator) -> list[Part]:
    z = np.array((-212, -206, -190, -160, -120, -80, -40, 0, 30, 55, 75, 90, 100, 106, 108.5), float)
    inner = np.interp(z, (-212, -120, -60, 0, 60, 108), (34, 14, 12, 14, 18, 24))
    parts = []
    for side, name in SIDES:
        a, b, y = frame.cage(z)
        tip = np.sqrt(np.clip((109 - z) / 30, 0, 1) * np.clip((z + 213) / 26, 0, 1))
        outer = np.where(z > 60, np.minimum(a - 4, 82), a - 4)
        half = (outer - inner) / 2
        rows = np.stack((z, side * (outer + inner) / 2, half * tip, y - 2, (b - 3) * tip), 1)
        parts.append(Part(Stack(frame.knots(rows), 2.7), float(rng.normal(-850, 25)), 45, LABEL[f"lung_{name}"]))
    return parts


def _abdomen(frame: Frame, rng: np.random.Generator, lungs: list[Part], landmarks: dict[str, Floats]) -> list[Part]:
    """Diaphragm and what lies under it; the lungs end where it is painted over them."""
    parts: list[Part] = []
    for (side, name), lung, lift in zip(SIDES, lungs, frame.breath, strict=True):
        top = -132 + lift
        centre, axes = frame.place((side * 70, 6, top - 88)), frame.lengths(80, 110, 88)
        dome = Blob(centre, axes, 0, 2.3, (0, 0.25))
        parts.append(Part(dome, 45, 12, LABEL["trunk"]))
        landmarks[f"diaphragm_{name}"] = centre + (0, 0, axes[2])
        landmarks[f"costophrenic_{name}"] = _angle(lung, dome, side)
        landmarks[f"apex_{name}"] = _tip(lung)
    right, left = frame.breath
    liver = Blob(frame.place((70, 8, -221 + right)), frame.lengths(75, 100, 83), 0, 2.3, (0, 0.2))
    lobe = Blob(frame.place((2, 40, -180 + (right + left) / 2)), frame.lengths(56, 42, 27), 0.15, 2.2)
    bubble = np.array((-62 + rng.normal(0, 8), 34, -168 + left + rng.normal(0, 4)))
    wide, high = rng.uniform(14, 32), rng.uniform(8, 20)
    spleen = Blob(frame.place((-98, -48, -184 + left)), frame.lengths(26, 38, 46), -0.45, 2.2)
    parts += [Part(liver, 62, 20, LABEL["liver"]), Part(lobe, 62, 20, LABEL["liver"])]
    parts += [Part(spleen, 52, 16, LABEL["spleen"])]
    parts += [
        Part(Blob(frame.place(bubble - (0, 0, 14)), frame.lengths(wide + 14, 34, high + 24)), 30, 40),
        Part(Blob(frame.place(bubble), frame.lengths(wide, 24, high), 0, 2.5), -930),
    ]
    for _ in range(int(rng.integers(3, 9))):  # gas in the bowel
        gas = frame.place((rng.uniform(-95, 60), rng.uniform(10, 60), rng.uniform(-320, -245)))
        parts.append(Part(Blob(gas, frame.lengths(rng.uniform(7, 20), 14, rng.uniform(6, 15)), 0, 2.4), -900))
    for (side, name), z in zip(SIDES, (-232.0, -220.0), strict=True):
        middle = frame.place((side * 58, -52, z + rng.normal(0, 5) + 0.4 * frame.breath[0 if side > 0 else 1]))
        axes = frame.lengths(27, 24, 53)
        parts.append(Part(Blob(middle, (axes[0] + 9, axes[1] + 9, axes[2] + 12), side * 0.25), -95, 12, LABEL["trunk"]))
        parts.append(Part(Blob(middle, axes, side * 0.25, 2.2), 34, 14, LABEL[f"kidney_{name}"]))
        landmarks[f"kidney_{name}"] = middle
    landmarks["liver"], landmarks["spleen"] = liver.centre, spleen.centre
    return parts


def _tip(lung: Part) -> Floats:
    """The highest point of a lung."""
    assert isinstance(lung.shape, Stack)
    z, x, _, y, _ = lung.shape.knots[-1]
    return np.array((x, y, z))


def _angle(lung: Part, dome: Blob, side: int) -> Floats:
    """Costophrenic angle: where the lateral edge of the lung meets the dome of the diaphragm."""
    assert isinstance(lung.shape, Stack)
    z = np.linspace(dome.centre[2], dome.centre[2] + dome.axes[2], 400)
    cx, a, cy, _ = lung.shape.at(z)
    edge = cx + side * a
    reach = 1 - np.clip((z - dome.centre[2]) / dome.axes[2], 0, 1) ** dome.power
    beyond = side * (edge - dome.centre[0]) - dome.axes[0] * reach ** (1 / dome.power)
    k = int(np.argmax(beyond > 0))
    return np.array((edge[k], cy[k], z[k]))


def _mediastinum(frame: Frame) -> list[Part]:
    rows = np.array(
        (
            (-440, 0, 40, -5, 84),
            (-260, 0, 34, -5, 84),
            (-140, -2, 26, -8, 84),
            (-80, 0, 24, -10, 80),
            (-20, 0, 22, -10, 74),
            (20, 0, 21, -10, 68),
            (60, 0, 24, -14, 58),
            (100, 0, 30, -20, 46),
            (130, 0, 34, -20, 40),
        ),
        float,
    )
    return [Part(Stack(frame.knots(rows), 3), 20, 18, LABEL["trunk"])]


def _vessels(frame: Frame, rng: np.random.Generator, landmarks: dict[str, Floats]) -> list[Part]:
    """Pulmonary vessels: a tree from each hilum, halving and thinning outwards; only the part inside a lung shows."""
    parts: list[Part] = []
    for side, name in SIDES:
        root = np.array((38 * side, -16, -16 if side > 0 else -6), float)
        ends = np.array(
            (
                (60, -10, 80),
                (88, -30, 45),
                (100, 30, 10),
                (110, -35, -35),
                (98, 40, -75),
                (80, -50, -120),
                (55, 15, -125),
            )
        ) * (side, 1, 1) + rng.normal(0, 9, (7, 3))
        for end in ends:
            parts += _branch(frame, rng, root + rng.normal(0, 4, 3), end, rng.uniform(4.2, 5.8), 2)
        trunk = np.array((np.array((12 * side, 4, -12)), root, root + (7 * side, -6, -34)))
        parts.append(Part(Tube(frame.place(trunk), np.array((11, 10.5, 5.5))), 42, 12, only_in_air=True))
        landmarks[f"hilum_{name}"] = frame.place(root)
    return parts


def _branch(
    frame: Frame, rng: np.random.Generator, start: Floats, end: Floats, radius: float, depth: int
) -> list[Part]:
    length = float(np.linalg.norm(end - start))
    bend = rng.normal(0, 0.07 * length, 3)
    t = np.linspace(0, 1, 6)[:, None]
    path = start + t * (end - start) + 4 * t * (1 - t) * bend
    radii = radius * np.linspace(1, 0.45, 6)
    parts = [Part(Tube(frame.place(path), radii), 38, 10, only_in_air=True)]
    for _ in range(2 if depth else 0):
        k = int(rng.integers(1, 5))
        heading = (path[k + 1] - path[k]) / max(float(np.linalg.norm(path[k + 1] - path[k])), 1e-6)
        turn = heading + rng.normal(0, 0.5, 3)
        parts += _branch(
            frame, rng, path[k], path[k] + turn * length * rng.uniform(0.35, 0.6), radii[k] * 0.72, depth - 1
        )
    return parts


def _heart(frame: Frame, landmarks: dict[str, Floats]) -> list[Part]:
    label, k, turn = LABEL["heart"], frame.heart, frame.heart_turn
    low = 0.4 * sum(frame.breath) / 2
    centre = np.array((-24, 22, -76 + low))
    angle = 0.62 + turn
    ventricle, atrium = frame.place(centre), frame.place((20, 14, -72 + low))
    axes = frame.lengths(66 * k, 50 * k, 50 * k)
    parts = [
        Part(Blob(atrium, frame.lengths(26 * k, 40 * k, 44 * k), 0, 2.2), 42, 14, label),
        Part(Blob(frame.place((-14, 8, -36 + low)), frame.lengths(33 * k, 36 * k, 34 * k), 0.5, 2.2), 42, 14, label),
        Part(Blob(ventricle, axes, angle, 2.1), 44, 14, label),
    ]
    landmarks["heart_apex"] = ventricle + np.array((-np.cos(angle), 0, -np.sin(angle))) * axes[0]
    landmarks["heart_right_border"] = atrium + (26 * k * float(frame.scale[0]), 0, 0)
    return parts


def _great_vessels(frame: Frame, landmarks: dict[str, Floats]) -> list[Part]:
    label = LABEL["aorta"]
    rising = np.array(((2, 24, -58), (16, 28, -34), (19, 24, -8), (13, 14, 14), (0, 0, 26)), float)
    falling = np.array(((0, 0, 26), (-14, -18, 28), (-26, -34, 18), (-27, -46, -6), (-22, -50, -60), (-16, -48, -120),
                        (-8, -42, -180), (-3, -22, -240), (-2, -10, -420)), float)  # fmt: skip
    radii = np.array((13, 12.5, 12.5, 12.5, 12, 11.5, 10.5, 9.5, 9.0)) * frame.heart**0.5
    placed = frame.place(falling)
    landmarks["aortic_knob"] = placed[2] - (float(radii[2]), 0, 0)
    cava = np.array(((30, 14, 62), (29, 14, 20), (24, 14, -36)))
    pulmonary = np.array(((-14, 34, -44), (-24, 22, -18), (-30, 2, -8)))
    return [
        Part(Tube(frame.place(cava), np.array((9, 9.5, 11))), 40, 12, LABEL["trunk"]),
        Part(Tube(frame.place(pulmonary), np.array((13, 13.5, 11)) * frame.heart**0.5), 42, 12, LABEL["trunk"]),
        Part(Tube(frame.place(rising), np.array((15, 15, 14.5, 14, 13)) * frame.heart**0.5), 45, 12, label),
        Part(Tube(placed, radii), 45, 12, label),
    ]


def _airway(frame: Frame, landmarks: dict[str, Floats]) -> list[Part]:
    label = LABEL["trachea"]
    windpipe = frame.place(np.array(((0, -2, 230), (0, -6, 140), (1, -14, 70), (2, -22, 6))))
    right = frame.place(np.array(((2, -22, 6), (15, -25, -12), (30, -28, -26))))
    left = frame.place(np.array(((2, -22, 6), (-16, -26, -8), (-40, -30, -22))))
    landmarks["carina"] = windpipe[-1]
    tubes = (Tube(windpipe, np.full(4, 8.6)), Tube(right, np.array((7.5, 7, 5.5))), Tube(left, np.array((6.5, 6, 5.0))))
    return [Part(tube, -990, 0, label) for tube in tubes]

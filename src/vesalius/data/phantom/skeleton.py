"""The bones: spine, ribs, clavicles, sternum, scapulae, humeri. Dense outside, spongy inside."""

import numpy as np

from vesalius.data.phantom.frame import CURVE, HEIGHT, LABEL, SIDES, VERTEBRAE, Frame
from vesalius.data.phantom.shapes import Blob, Floats, Part, Tube

CORTEX, MARROW = 1250.0, 160.0  # HU
RIBS = range(1, 12)  # pairs
LEVELS = ("T1", "T4", "T6", "T8", "T10", "T12")  # which bones carry landmarks
RIBS_BEHIND, RIBS_BESIDE, RIBS_BEFORE = (4, 5, 6, 7, 8), (5, 6, 7), (3, 4, 5)


def bones(frame: Frame) -> tuple[list[Part], dict[str, Floats]]:
    """Parts in the order in which they are painted, and landmarks (3,) in mm."""
    landmarks: dict[str, Floats] = {}
    parts = [*_shoulders(frame), *_sternum(frame), *_pelvis(frame), *_spine(frame, landmarks)]
    for side, name in SIDES:
        for number in RIBS:
            path = rib_path(frame, number, side)
            parts += _rib(frame, number, path)
            _mark(frame, number, name, path, landmarks)
    return parts + _clavicles(frame, landmarks), landmarks


def _bone(frame: Frame, points: Floats, radii: Floats | float, label: int, flat: float = 1.0) -> list[Part]:
    """A tube of cortex around marrow, through canonical points."""
    placed = frame.place(points)
    size = np.broadcast_to(radii, len(placed)) * float(frame.scale.mean())
    return [
        Part(Tube(placed, size, flat), CORTEX * frame.bone, 50, label),
        Part(Tube(placed, 0.7 * size, flat), MARROW * frame.bone, 40, label),
    ]


def _spine(frame: Frame, landmarks: dict[str, Floats]) -> list[Part]:
    parts: list[Part] = []
    label, dense = LABEL["spine"], frame.bone
    for k, name in enumerate(VERTEBRAE):
        z = HEIGHT[name]
        gap = abs(z - HEIGHT[VERTEBRAE[k - 1 if k else 1]])
        middle = np.array((0.0, float(CURVE(z)), z))
        wide = float(np.interp(z, (-300, -170, 0, 140), (25, 19, 14, 12)))
        body = frame.place(middle)
        tilt = frame.place(middle + (0, 0, 8)) - frame.place(middle - (0, 0, 8))
        angle = -float(np.arctan2(tilt[0], tilt[2]))
        a, b, c = frame.lengths(wide, 0.82 * wide, 0.40 * gap)
        parts += [
            Part(Blob(body, (a, b, c), angle, 5), 330 * dense, 50, label),
            Part(Blob(body, (a - 2.2, b - 2, c - 2.2), angle, 5), 120 * dense, 50, label),
        ]
        for side in (1, -1):
            process = np.array(((10, -14, 2), (22, -24, 3), (31, -30, 6))) * (side, 1, 1) * (wide / 15, 1, 1)
            arm = Tube(frame.place(middle + process), np.array((5, 4, 3)) * wide / 15)
            parts.append(Part(arm, 420 * dense, 50, label))
            pedicle = frame.place(middle + (side * 0.68 * wide, -17, 2))
            parts.append(Part(Blob(pedicle, frame.lengths(3.2, 9, 5)), 600 * dense, 40, label))
        spinous = np.array(((0, -26, -2), (0, -36, -0.45 * gap), (0, -44, -0.8 * gap)))
        parts.append(Part(Tube(frame.place(middle + spinous), np.array((4, 3.4, 4.0)), 1.5), 480 * dense, 50, label))
        if name in LEVELS:
            landmarks[f"vertebra_{name.lower()}"] = body
    return parts


def rib_path(frame: Frame, number: int, side: int, n: int = 24) -> Floats:
    """(n, 3) canonical points from the spine around the chest to the cartilage; side is 1 for right, -1 for left."""
    start = HEIGHT[f"T{number}"] + 5
    drop = frame.slope * float(np.interp(number, (1, 2, 4, 7, 9, 11), (32, 52, 88, 118, 112, 70)))
    first, last = -np.pi / 2 + 0.30, float(np.interp(number, (1, 6, 8, 10, 11), (1.05, 0.98, 0.72, 0.2, -0.5)))
    angle = np.linspace(first, last, n - 3)
    s = (angle - first) / (1.15 + np.pi / 2 - 0.30)
    z = start + 7 * np.sin(np.pi * np.clip(s / 0.35, 0, 1)) - drop * s**1.35
    a, b, y = frame.cage(z)
    wall = np.stack(((a + 3.5) * np.cos(angle), y + (b + 3.5) * np.sin(angle), z), 1)
    neck = np.array((13.0, float(CURVE(start)) - 10, start))
    head = neck + np.linspace(0, 1, 4)[:3, None] * (wall[0] - neck)
    return np.concatenate((head, wall)) * (side, 1, 1)


def _mark(frame: Frame, number: int, side: str, path: Floats, landmarks: dict[str, Floats]) -> None:
    """Landmarks of some ribs: behind, 75 mm from the midline; at the side; in front, where the cartilage begins."""
    turn = int(np.argmax(np.abs(path[:, 0])))
    if number in RIBS_BEHIND:
        landmarks[f"rib_{number}_posterior_{side}"] = frame.place(path[int(np.argmax(np.abs(path[:, 0]) > 75))])
    if number in RIBS_BESIDE:
        landmarks[f"rib_{number}_lateral_{side}"] = frame.place(path[turn])
    if number in RIBS_BEFORE:
        landmarks[f"rib_{number}_anterior_{side}"] = frame.place(path[-1])


def _rib(frame: Frame, number: int, path: Floats) -> list[Part]:
    """In two halves, behind and in front of its most lateral point, so that no ray meets a half twice."""
    radii = float(np.interp(number, (1, 4, 11), (6.4, 6.2, 5.0))) * np.linspace(0.85, 1.1, len(path))
    turn = int(np.argmax(np.abs(path[:, 0])))
    halves = [slice(0, turn + 1), slice(turn, None)]
    return [
        part
        for half in halves
        if len(path[half]) > 1
        for part in _bone(frame, path[half], radii[half], LABEL["ribs"], flat=0.62)
    ]


def _clavicles(frame: Frame, landmarks: dict[str, Floats]) -> list[Part]:
    parts: list[Part] = []
    for side, name in SIDES:
        points = np.array(((13, 62, 60), (32, 62, 66), (60, 52, 73), (92, 26, 82), (122, 0, 90), (150, -14, 91)), float)
        points[:, 2] += np.linspace(0, 8, 6) * (frame.slope - 1) * 8
        points *= (side, 1, 1)
        parts += _bone(frame, points, np.array((8.5, 6.6, 5.6, 5.4, 5.8, 6.5)), LABEL["clavicles"])
        landmarks[f"clavicle_medial_{name}"] = frame.place(points[0])
        landmarks[f"clavicle_middle_{name}"] = frame.place(points[3])
    return parts


def _sternum(frame: Frame) -> list[Part]:
    return [
        Part(Blob(frame.place((0, 68, 42)), frame.lengths(24, 7, 22), 0, 3, (0, -0.4)), 260 * frame.bone, 40),
        Part(Blob(frame.place((0, 84, -35)), frame.lengths(16, 6, 58), 0, 4, (0, -0.12)), 230 * frame.bone, 40),
    ]


def _pelvis(frame: Frame) -> list[Part]:
    """Sacrum and the wings of the ilium: only the lower edge of a volume shows them."""
    sacrum = Blob(frame.place((0, -62, -372)), frame.lengths(46, 16, 44), 0, 2.4, (0, 0.3))
    wings = [
        Blob(frame.place((s * 92, -30, -366)), frame.lengths(46, 7, 58), s * 0.5, 2.6, (s * 0.9, 0)) for s in (1, -1)
    ]
    return [Part(shape, 300 * frame.bone, 50) for shape in (sacrum, *wings)]


def _shoulders(frame: Frame) -> list[Part]:
    parts: list[Part] = []
    for side in (1, -1):
        mirror = np.array((side, 1, 1))
        blade = Blob(frame.place((128, -84, 18) * mirror), frame.lengths(27, 4, 66), side * 0.28, 2.6, (side * 0.35, 0))
        parts.append(Part(blade, 330 * frame.bone, 60))
        medial = np.array(((106, -92, 82), (100, -96, 30), (112, -92, -30), (128, -86, -52)))
        lateral = np.array(((158, -52, 60), (154, -68, 20), (142, -80, -30), (128, -86, -52)))
        ridge = np.array(((104, -98, 62), (132, -92, 78), (160, -62, 96), (168, -36, 100)))
        for border, radius in ((medial, 2.6), (lateral, 4.4), (ridge, 4.6)):
            parts += _bone(frame, border * mirror, radius, 0)
        head = np.array((178, -30, 66)) * mirror
        shaft = np.array(((180, -30, 52), (192, -28, 0), (206, -26, -60), (222, -24, -130))) * mirror
        parts += _bone(frame, shaft, np.array((17, 12, 11, 11)), 0)
        parts.append(Part(Blob(frame.place(head), frame.lengths(24, 22, 24)), 420 * frame.bone, 50))
        parts.append(Part(Blob(frame.place(head), frame.lengths(21.5, 20, 21.5)), 230 * frame.bone, 50))
    return parts

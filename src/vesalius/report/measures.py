"""What each measure asks, what its control means, and which of its numbers stand first: the words of the page."""

from dataclasses import dataclass

from vesalius.report.tables import Quantity

BASE = "random"  # the same network with random weights: what others are compared with
CONTROLS = (BASE, "raw_pixels", "coordinates")
ALL_CONTROLS = (*CONTROLS, "scanner")  # the last one of volumes alone
PROTOCOLS = ("fewshot", "finetune", "scratch", "linear", "nonlinear")  # of transfer: what they learn has labels
CONDITIONS = ("", "upright", "shift", "rotation", "zoom", "all")


@dataclass(frozen=True)
class Measure:
    """One measure: its question, the meaning of its controls, the meaning of its numbers, and those that stand first."""

    key: str
    title: str
    asks: str
    control: str
    main: tuple[str, ...]
    numbers: dict[str, str]


MEASURES = (
    Measure(
        "locality",
        "Locality: do patches of the same place lie together, whoever's they are?",
        "A patch is cut around each landmark and turned into a vector. Its nearest neighbours in other patients then say "
        "which landmark it shows. Neighbours are upright; the patch that asks is upright, or shifted, turned, zoomed.",
        "Naming at random is right once in as many times as there are landmarks. On upright, centred images all controls "
        "are far above that, because the place in the image alone names the landmark: the moved images are the test.",
        ("knn_accuracy",),
        {
            "knn_accuracy": "share of patches named rightly by their nearest neighbours",
            "knn_accuracy_1": "the same, with 1 patient to look in",
            "knn_accuracy_5": "the same, with 5 patients",
            "knn_accuracy_20": "the same, with 20 patients",
            "margin": "cosine to the own landmark less the best other",
            "silhouette": "how far apart the landmarks lie, -1 to 1",
            "knn_accuracy_of_landmark": "share named rightly",
        },
    ),
    Measure(
        "compositionality",
        "Compositionality: is the whole the sum of its parts?",
        "A patch is cut into 2, 3 or 4 parts. How like is the vector of the whole to the mean of the vectors of its parts?",
        "The control takes the parts from other patches. Chance is high: features that are never negative have cosines of "
        "about 0.5 with anything, and an encoder that says the same of every patch has 1. So what counts is the share of the "
        "way from there to 1 that the own parts go (closed). Raw pixels are nearly the sum of their parts by construction, "
        "and go far without knowing anything: read this together with locality.",
        ("closed",),
        {
            "closed": "share of the way from the cosine with shuffled parts to 1 that the own parts go",
            "gain": "cosine with the own parts less cosine with shuffled parts",
            "cosine": "whole against its own parts",
            "cosine_shuffled": "whole against shuffled parts (control)",
            "mode": "most frequent cosine",
            "spread": "standard deviation of the cosines",
            "mode_shuffled": "most frequent cosine, shuffled parts",
            "spread_shuffled": "standard deviation, shuffled parts",
        },
    ),
    Measure(
        "correspondence",
        "Correspondence: is the same point found again?",
        "Points of an image are looked for in the same image after it was shifted, turned or zoomed, where the true place "
        "is known; and in other patients, where it is known which structures a point lies in.",
        "Coordinates look at the same place as before, and fail by as much as the image was moved. Raw pixels compare grey "
        "values. A point counts as found within 5 % of the image's diagonal.",
        ("within_5", "same_structure_all"),
        {
            "within_5": "share of points found within 5 % of the diagonal",
            "error": "distance to the true place, share of the diagonal",
            "error_px": "the same, in pixels",
            "error_mm": "the same, in mm",
            "same_structure_all": "between patients: share of best matches in the same structures",
            "same_structure": "the same, of matches with cosine 0.8 or more",
            "matched": "between patients: share of points with a match of cosine 0.8 or more",
        },
    ),
    Measure(
        "landmarks",
        "Landmarks: annotate one image, find the points in all others",
        "Landmarks are marked in 1 or 5 images. In each other image the place most like a mark is searched for over the "
        "whole image, upright and moved.",
        "Coordinates copy the place of the mark: strong on upright, centred images, weak on moved ones. Of volumes, scanner "
        "copies its millimetres in the scanner. A landmark whose best place hardly beats the second best is called not found.",
        ("within_5",),
        {
            "within_5": "share of landmarks found within 5 % of the diagonal",
            "within_10": "share found within 10 %",
            "error": "distance to the truth, share of the diagonal",
            "error_px": "the same, in pixels",
            "error_mm": "the same, in mm",
            "found": "share that the search calls found",
            "error_found": "distance to the truth of those, share of the diagonal",
        },
    ),
    Measure(
        "registration",
        "Registration: do matches carry one patient onto another?",
        "Mutual nearest matches between two patients give an affine transform (RANSAC). How far off do landmarks end, and "
        "how well do carried masks overlap?",
        "The run named coordinates is the identity: nothing is moved. A transform is worth having only where it ends nearer "
        "than that.",
        ("tre",),
        {
            "tre": "target registration error: distance of carried landmarks, share of the diagonal",
            "tre_px": "the same, in pixels",
            "tre_mm": "the same, in mm",
            "dice": "overlap of carried masks, 0 to 1",
            "inliers": "matches that agree with the transform",
        },
    ),
    Measure(
        "organs",
        "Organs: do voxels of the same organ lie together, whoever's they are?",
        "Voxels are drawn from each structure of each patient, and each is named by its nearest voxels in other patients. "
        "These are upright; the voxels that ask are upright, or moved with their image.",
        "Coordinates name by the place alone: strong where patients lie alike, weak on moved images.",
        ("knn_accuracy",),
        {
            "knn_accuracy": "share of voxels whose structure is named rightly by their nearest neighbours in other patients",
            "knn_accuracy_of_structure": "share named rightly",
        },
    ),
    Measure(
        "levels",
        "Levels: what does each level of the pyramid know on its own?",
        "The numbers of organs and of landmarks once more, with one level of the pyramid in place of all. Level 0 is the "
        "finest, with a cell for each voxel; each further one has half as many cells along each axis, and sees further.",
        "Random weights have levels too: what theirs know comes from grey values and from the borders of the image.",
        ("knn_accuracy", "within_5"),
        {
            "knn_accuracy": "share of voxels whose structure is named rightly by their nearest neighbours in other patients",
            "within_5": "share of landmarks found within 5 % of the diagonal",
            "error": "distance to the truth, share of the diagonal",
            "error_mm": "the same, in mm",
        },
    ),
)

HEADLINE = (
    (Quantity("locality", "knn_accuracy", "all"), "locality: k-NN accuracy, moved"),
    (Quantity("compositionality", "closed", structure="4 parts"), "compositionality: gap to 1 closed, 4 parts"),
    (Quantity("correspondence", "within_5", "all"), "correspondence: found within 5 %, moved"),
    (Quantity("landmarks", "within_5", "all", shots=1), "landmarks: found within 5 %, moved, 1 image annotated"),
    (Quantity("registration", "tre", "all"), "registration: error, moved"),
)

"""What a page shows of encoders of voxels: the map of organs, and levels side by side."""

import numpy as np

from fakes.command import vesalius
from vesalius import results
from vesalius.chance import generator
from vesalius.report import plots
from vesalius.report.folders import kind, open_folders
from vesalius.results import Row


def rows(rng):
    for run, skill in {"pyramid": 0.9, "random": 0.5, "scanner": 0.4}.items():
        for p in range(5):
            for condition in ("upright", "all"):
                about = {"run": run, "data": "bodies", "patient": f"p{p}", "condition": condition}
                yield Row(measure="organs", name="knn_accuracy", value=skill + 0.05 * rng.random(), **about)
                for level in range(3 if run != "scanner" else 0):
                    own = {"structure": f"level {level}", **about}
                    yield Row(measure="levels", name="knn_accuracy", value=skill - 0.1 * level, **own)
                    yield Row(measure="levels", name="within_5", value=0.2 * level, shots=1, **own)


def test_a_page_of_voxel_vectors(tmp_path):
    rng = generator(0)
    arrays = {
        "places": rng.normal(size=(40, 2)),
        "labels": np.tile(["liver", "heart"], 20),
        "patients": np.arange(40) % 5,
    }
    artefact = results.save(tmp_path, "organs-pyramid", arrays)
    row = Row(measure="organs", name="map", run="pyramid", data="bodies", value=40.0, artefact=artefact)
    results.write(tmp_path / "results.jsonl", [*rows(rng), row])
    done = vesalius("report", tmp_path, "--out", tmp_path / "page.html")
    assert done.status == 0, done
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "40 voxels, 5 patients" in page
    assert "Levels: what does each level of the pyramid know on its own?" in page
    assert kind("scanner") == "scanner"
    assert open_folders([tmp_path])[1][0].controls == ("random", "scanner")


def test_the_map_is_drawn_of_given_places_and_needs_no_vectors():
    arrays = {"places": np.zeros((4, 2)), "labels": np.array(list("abab"))}
    assert plots.neighbours("it", arrays).caption == "4 voxels."
    assert plots.neighbours("it", {"labels": arrays["labels"]}) is None

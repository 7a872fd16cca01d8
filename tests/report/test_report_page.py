"""The page: whole, alone, silent about this machine; and one line of error where there is nothing to show."""

import base64
import io
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from plausible import write_results, write_run

from fakes.command import vesalius
from vesalius import results
from vesalius.report.folders import flat, open_folders
from vesalius.report.names import public
from vesalius.report.overlays import chosen
from vesalius.report.plots import densities, neighbours
from vesalius.results import Row

VOID = {"meta", "img", "br", "link"}


class Outline(HTMLParser):
    """Opens and closes tags, and keeps what the tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.wrong, self.images = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_page_is_well_formed_and_needs_nothing_else(html):
    found = Outline(html)
    assert (found.wrong, found.open) == ([], [])
    assert not {"script", "link", "iframe"} & set(found.tags)
    assert not re.findall(r"https?://|url\(|@import", html)
    assert len(html) < 5e6


def test_every_picture_opens_and_has_words_instead(html):
    images = Outline(html).images
    kinds = [Image.open(io.BytesIO(base64.b64decode(one["src"].split(",")[1]))).format for one in images]
    assert set(kinds) == {"PNG", "JPEG"}
    assert all(len(one["alt"]) > 20 for one in images)


def test_every_link_leads_to_a_chapter(html):
    links = re.findall(r'href="#(\w+)"', html)
    assert len(links) == 9
    assert all(html.count(f'id="{link}"') == 1 for link in links)


def test_the_page_says_nothing_of_this_machine_or_of_patients(html, folders):
    text = re.sub(r'src="[^"]*"', "", html)
    assert not [word for word in (str(folders), "/home", "home/me", "patient00", "/tmp") if word in text]
    assert "nih:nih?table=a.csv" in text


def test_the_same_vectors_make_the_same_map(folders):
    with np.load(folders / "anatomy" / "artefacts" / "locality-adam.npz") as file:
        arrays = dict(file)
    assert neighbours("adam", arrays) == neighbours("adam", arrays)


def test_verdicts_are_on_the_page_and_name_the_control(html):
    claims = html[html.index('id="claims"') : html.index('id="settings"')]
    assert {"shown", "not shown"} == set(re.findall(r'class="mark (?:yes|no)">([^<]*shown)<', claims))
    assert "fails against " in claims


def test_settings_that_differ_stand_open(html):
    text = html[html.index('id="settings"') : html.index('id="curves"')]
    opened = text[: text.index("<details>")]
    assert ("optim.lr" in opened, "size" in opened, ">size<" in text) == (True, False, True)


ONE = Row(measure="locality", name="knn_accuracy", run="adam", data="bodies", condition="all", patient="p", value=0.5)


def test_a_run_alone_and_one_row_alone_are_a_page(tmp_path, folders):
    assert "Settings" in page_of(folders / "adam", tmp_path)
    results.append(tmp_path / "one" / "results.jsonl", [ONE])
    assert "one patient: no interval" in page_of(tmp_path / "one", tmp_path)


def page_of(folder, tmp_path):
    done = vesalius("report", folder, "--out", tmp_path / "a.html")
    assert done.status == 0, done
    return (tmp_path / "a.html").read_text("utf-8")


def test_artefacts_that_are_gone_are_counted_not_fatal(tmp_path):
    gone = replace(ONE, patient="", name="vectors", artefact="artefacts/v.npz")
    results.append(tmp_path / "results.jsonl", [ONE, gone])
    assert "1 files of pictures named in the results are missing" in page_of(tmp_path, tmp_path)


def test_names_cannot_write_html(tmp_path):
    results.append(tmp_path / "results.jsonl", [replace(ONE, run="<b>x", data="<i>")])
    assert not re.search("<[bi]>", page_of(tmp_path, tmp_path))


def test_nothing_to_show_is_one_line(tmp_path):
    assert "no folder given" in vesalius("report").error
    assert "neither config.json nor results.jsonl" in vesalius("report", tmp_path).error
    (tmp_path / "results.jsonl").touch()
    assert "holds no rows" in vesalius("report", tmp_path).error
    assert "is a folder" in vesalius("report", tmp_path, "--out", tmp_path).error


def test_a_damaged_log_names_its_line_and_a_torn_one_is_read(tmp_path):
    log = write_run(tmp_path / "run") / "metrics.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"total')
    assert len(open_folders([tmp_path / "run"])[0][0].steps) == 40
    log.write_text("{\n" + whole)
    assert "line 1 is not JSON" in vesalius("report", tmp_path / "run").error


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("nih:/home/me/data/nih?table=/x/a.csv", "nih:nih?table=a.csv"),
        ("/home/John Doe/scans", "scans"),
        (r"C:\Users\me\scans", "scans"),
        ("~/cache/", "cache/"),
        ("phantom:?bodies=192", "phantom:?bodies=192"),
    ],
)
def test_of_a_path_the_last_name_is_kept(path, shown):
    assert public(path) == shown
    assert flat({"a": {"b": [path, 1]}}) == {"a.b": f"{shown}, 1"}


def test_controls_measured_twice_are_one_where_equal_and_told_apart_where_not(tmp_path):
    write_results(tmp_path / "a", {"adam": 0.2}, patients=3, small=True)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_folders([tmp_path / "a", tmp_path / "b"])[1][0].measured == ("adam",)
    rows = results.read(tmp_path / "b" / "results.jsonl")
    (tmp_path / "b" / "results.jsonl").write_text(results._line(rows[0]).decode().replace(repr(rows[0].value), "0.123"))
    (study,) = open_folders([tmp_path / "a", tmp_path / "b"])[1]
    assert study.measured == ("adam (a)", "adam (b)")
    assert study.control("adam (a)", "random") == "random (a)"


def test_the_worst_and_typical_examples_are_both_chosen():
    assert (chosen(6, 3), chosen(6, 4), chosen(2, 4), chosen(6, 1), chosen(0, 3)) == (
        [0, 1, 3], [0, 1, 3, 4], [0, 1], [0], [],
    )  # fmt: skip


def test_vectors_that_are_all_the_same_make_no_map():
    labels = np.repeat(["a", "b"], 5)
    assert neighbours("x", {"vectors": np.ones((10, 4), np.float16), "labels": labels}) is None
    same = {"parts_2": np.ones(9), "shuffled_2": np.ones(9)}
    assert "Medians: 2 parts 1.00, shuffled 1.00." in densities("x", same).caption

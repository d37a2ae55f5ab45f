"""Altered copies are recognized, other images are not; file names that show groups are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from skimage import data

import zoo
from zoo.diagnosis.alignment import Alignment, align, look_at
from zoo.diagnosis.altered_copies import check_altered_copies, is_copy, largest_residual
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding
from zoo.diagnosis.name_groups import check_name_groups, suggested_groups
from zoo.runs import Run

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
MIRROR = Image.Transpose.FLIP_LEFT_RIGHT
QUARTER = Image.Transpose.ROTATE_90


def turned(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC)


def cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.crop((0, int((1 - share) * height), int(share * width), height))


def shifted(image: Image.Image) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, (1, 0, 40, 0, 1, -25))


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "turned": lambda i: turned(i, 10),
    "turned back": lambda i: turned(i, -14),
    "turned, larger": lambda i: i.rotate(8, Image.Resampling.BICUBIC, expand=True),
    "cropped": lambda i: cropped(i, 0.9),
    "cropped more": lambda i: cropped(i, 0.85),
    "shifted": shifted,
    "mirrored, turned": lambda i: turned(i.transpose(MIRROR), 7),
    "quarter and more": lambda i: turned(i.transpose(QUARTER), 5),
    "brighter, turned": lambda i: ImageEnhance.Brightness(turned(i, -9)).enhance(1.2),
    "small": lambda i: cropped(i, 0.9).resize((60, 60)),
    "white corners": lambda i: i.rotate(9, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)),
}


def photo(name: str) -> Image.Image:
    return Image.fromarray(getattr(data, name)()).convert("RGB")


@pytest.mark.parametrize("edit", ALTERED.values(), ids=ALTERED)
@pytest.mark.parametrize("name", PHOTOS)
def test_an_altered_copy_fits_and_another_image_does_not(
    name: str, edit: Callable[[Image.Image], Image.Image]
) -> None:
    altered = look_at(edit(photo(name)))
    others = [other for other in PHOTOS if other != name]
    same, *different = align(altered, [look_at(photo(one)) for one in (name, *others)])
    assert is_copy(same, 8.0)
    assert not any(is_copy(found, 8.0) for found in different)


def test_an_alignment_tells_how_an_image_was_altered() -> None:
    found = align(
        look_at(turned(photo("coffee").resize((400, 400)), 12)), [look_at(photo("coffee"))]
    )
    matrix = found[0].matrix[:, :2]
    assert np.rad2deg(np.arctan2(abs(matrix[0, 1]), matrix[0, 0])) == pytest.approx(12, abs=0.5)
    assert found[0].moved > 0.05


@pytest.mark.parametrize("image", [np.zeros((96, 96)), np.full((96, 96), 255.0), np.eye(96) * 255])
def test_plain_images_are_no_copies_of_anything(image: np.ndarray) -> None:
    plain = image.astype(np.float32)
    assert not any(is_copy(found, 8.0) for found in align(plain, [look_at(photo("coffee"))]))
    assert all(np.isfinite(found.residual) for found in align(plain, [plain, plain + 1]))


def test_in_one_scene_less_counts_as_a_copy() -> None:
    assert largest_residual(np.full(40, 255.0)) == 8.0
    assert largest_residual(np.full(40, 4.0)) == pytest.approx(1.2)
    assert not is_copy(Alignment(np.eye(2, 3), 0.99, 1.0, 2.5), largest_residual(np.full(40, 4.0)))


def write_bursts(root: Path) -> Path:
    """Two classes that look alike; three altered versions of each of 80 pictures."""
    rng = np.random.default_rng(0)
    for number in range(80):
        coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8))
        picture = coarse.resize((120, 120), Image.Resampling.BICUBIC)
        folder = root / ("left" if rng.random() < 0.5 else "right")
        folder.mkdir(parents=True, exist_ok=True)
        inner = turned(picture, 8).crop((12, 12, 108, 108))  # without black corners
        for letter, version in zip("abc", (picture, inner, cropped(picture, 0.9)), strict=True):
            version.save(folder / f"specimen{number:02d}_{letter}.png")
    return root


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    folder = tmp_path_factory.mktemp("bursts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        run = zoo.finetune(
            "efficientnet",
            write_bursts(folder / "data"),
            runs_dir=folder / "runs",
            size=64,
            unfreeze="none",
            val_fraction=0.25,
            test_fraction=0.25,
        )
        evidence = Evidence(run)
        assert evidence.features is not None  # read while the cache is there
        assert len(evidence.prepared.rows) == 240
        assert len(evidence.dataset.groups) == 240
    return evidence


def only_finding(found: tuple[Finding, ...]) -> Finding:
    assert len(found) == 1
    return found[0]


def test_altered_copies_are_found_with_what_they_do_to_the_score(bursts: Evidence) -> None:
    finding = only_finding(check_altered_copies(bursts).findings)
    assert len(finding.files) >= 30
    for shown in finding.files:
        source = shown.note.removeprefix("looks like ").partition(",")[0]
        assert shown.id[:-6] == source[:-6]  # all but a.png
    assert "they add +" in finding.evidence[0]
    assert finding.cost > 0.05  # the classes look alike: only copies can be known


def test_groups_that_file_names_show_are_measured(bursts: Evidence) -> None:
    outcome = check_name_groups(bursts)
    finding = only_finding(outcome.findings)
    assert "specimen00, specimen01 and specimen02" in outcome.says
    assert finding.cost > 0.05
    pattern = finding.command.split("--group-pattern ")[1].strip("'")
    assert suggested_groups(["x/specimen07_a.png"] * 2, np.zeros(2, np.int64)) is None  # too few
    settings = bursts.settings
    try:
        bursts.settings = replace(settings, group_pattern=pattern)
        assert check_name_groups(bursts).state == "clear"
    finally:
        bursts.settings = settings


def test_clean_data_have_neither(clean: Run) -> None:
    evidence = Evidence(clean)
    assert check_altered_copies(evidence).state != "found"
    assert check_name_groups(evidence).says == "the file names suggest no groups of images"


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("{k}/IMG_{i:04d}_{j}.jpg", "IMG_0000"),
        ("{k}/patient{i:02d}_{j}.png", "patient00"),
        ("{k}/patient{i:02d}_left{j}_{j}.png", "patient00"),
        ("{k}/patient{i:02d}/{j}.png", "patient00"),
        ("{k}/{i:04d}{l}.tif", "0000"),
        ("{k}/{i:03d}-{l}.jpg", "000"),
        ("{k}/p {i} {j}.jpg", "p 0"),
        ("{k}/leaf{i}_jpg.rf.{j}a7b{i:x}.jpg", "leaf0_jpg"),
        ("train/{k}/video{i}_{j:06d}.jpg", "video0"),
    ],
)
def test_names_that_show_groups(path: str, group: str) -> None:
    ids, labels = names(path)
    found = suggested_groups(ids, labels)
    assert found is not None
    assert len(np.unique(found.numbers)) == 40
    assert group in found.names


@pytest.mark.parametrize(
    "path",
    [
        "{k}/{i:02d}{j:02d}.jpg",
        "{k}/cat_{i}{j}.jpg",
        "{k}/n0144{k}_{i}{j}.JPEG",  # the class with a number
        "{k}/{i}{j}8b6-{j}0c4-{i}{j}.jpg",
        "train/{k}/image.{i}{j}.png",
    ],
)
def test_names_that_show_none(path: str) -> None:
    assert suggested_groups(*names(path)) is None


def names(path: str) -> tuple[list[str], np.ndarray]:
    """Three images of each of 40 groups in two classes."""
    every = [(i % 2, i, j) for i in range(40) for j in range(3)]
    ids = [path.format(k=k, i=i, j=j, l="abc"[j]) for k, i, j in every]
    return ids, np.array([k for k, _, _ in every])

"""Files of somebody else: images, manifests, weights and archives, damaged or made to harm."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.torture.damage import Damage, damages
from tests.torture.forked import run
from tests.torture.place import Place
from tests.torture.prepared import TRAINING
from tests.torture.verdict import broken

_FORMATS = {
    "x.png": ("PNG", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    "x.jpg": ("JPEG", ["L", "RGB", "CMYK"]),
    "x.gif": ("GIF", ["L", "P", "RGB"]),
    "x.bmp": ("BMP", ["1", "L", "P", "RGB"]),
    "x.tiff": ("TIFF", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F"]),
    "x.webp": ("WEBP", ["RGB", "RGBA"]),
    "x.ppm": ("PPM", ["L", "RGB"]),
    "x.ico": ("ICO", ["RGBA"]),
}
_COMMANDS = {
    "predict": ["predict", "a", "new"],
    "predict csv": ["predict", "a", "new", "--format", "csv"],
    "predict ensemble": ["predict", "both", "new"],
    "scan": ["finetune", "cnn", "--data", "data", "--size", "16", "--dry-run"],
}


@dataclass(frozen=True)
class ImageCase:
    """An image file that is damaged, or claims what it is not."""

    name: str
    mode: str
    damage: Damage
    claim: int
    command: str
    kind = "hostile image"

    def __str__(self) -> str:
        return f"{self.name} {self.mode} claim={self.claim}: {self.damage}: {self.command}"

    def run(self, place: Place) -> str:
        """What is wrong; empty if nothing."""
        place.renew()
        folder = place.path / ("data/one" if self.command == "scan" else "new")
        folder.mkdir(exist_ok=True)
        path = folder / self.name
        path.write_bytes(_image(self.name, self.mode))
        if self.claim and path.suffix == ".png":
            _claim(path, self.claim)
        else:
            self.damage.apply(path)
        outcome = run(_COMMANDS[self.command], place.path)
        if said := broken(outcome):
            return said
        claims = self.claim and path.suffix == ".png"
        is_there = claims or self.damage.way not in {"remove", "folder", "sibling"}
        if self.command != "scan" and is_there and self.name not in outcome.out + outcome.err:
            return f"the file is not named: {outcome.out[-200:]} {outcome.err[-200:]}"
        return ""


def _image(name: str, mode: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 4), np.uint8)
    kind = mode.partition(";")[0]
    if kind in {"I", "F"}:
        deep = pixels[..., 0].astype(np.uint16 if kind == "I" else np.float32) * 100
        image = Image.fromarray(deep)
    else:
        image = Image.fromarray(pixels, "RGBA").convert(kind)
    content = io.BytesIO()
    image.save(content, _FORMATS[name][0])
    return content.getvalue()


def _claim(path: Path, claim: int) -> None:
    """A PNG file whose header claims another size, with the right checksum."""
    sides = [(60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 5), (9000, 7000), (30_000, 300)]
    content = bytearray(path.read_bytes())
    width, height = sides[claim % len(sides)]
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(bytes(content))


@st.composite
def image_cases(draw: st.DrawFn) -> ImageCase:
    """Any format, mode and damage."""
    name = draw(st.sampled_from(sorted(_FORMATS)))
    return ImageCase(
        name,
        draw(st.sampled_from(_FORMATS[name][1])),
        draw(damages(name)),
        draw(st.integers(0, 6)),
        draw(st.sampled_from(sorted(_COMMANDS))),
    )


@dataclass(frozen=True)
class ManifestCase:
    """A list of images that is damaged."""

    name: str
    damage: Damage
    kind = "hostile manifest or config"

    def __str__(self) -> str:
        return f"{self.name}: {self.damage}"

    def run(self, place: Place) -> str:
        """What is wrong; empty if nothing."""
        place.renew()
        path = place.path / self.name
        content, line = _DOCUMENTS[self.name]
        path.write_text(content(place.path))
        self.damage.apply(path)
        return broken(run([*line, str(path)], place.path))


def _rows(folder: Path) -> list[tuple[str, str, str]]:
    files = sorted((folder / "data").rglob("*.png"))
    splits = ["train", "val", "test"]
    return [
        (p.relative_to(folder).as_posix(), p.parent.name, splits[i % 3])
        for i, p in enumerate(files)
    ]


def _separated(sign: str) -> Callable[[Path], str]:
    def text(folder: Path) -> str:
        rows = [("path", "label", "split"), *_rows(folder)]
        return "".join(sign.join(row) + "\n" for row in rows)

    return text


def _json_lines(folder: Path) -> str:
    rows = [dict(zip(("path", "label", "split"), row, strict=True)) for row in _rows(folder)]
    return "".join(json.dumps(row) + "\n" for row in rows)


_SCAN = ["finetune", "cnn", "--size", "16", "--dry-run", "--data"]
_CONFIG = ["finetune", "cnn", "--data", "data", "--dry-run", "--config"]
_GRID = ["sweep", "--data", "nothing"]
_SPACE = ["tune", "cnn", "--data", "data", "--print-space", "--space"]
_YAML = "epochs: 2\nsize: 16\nblocks: 1\nflip: none\nmix: cutmix\n"
_LISTS = "epochs: [2, 3]\nlearning_rate: [1.0e-3, 3.0e-3]\nbackbone: [cnn, resnet20]\n"
_RANGES = "learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\nbatch_size: [16, 32]\n"
_DOCUMENTS: dict[str, tuple[Callable[[Path], str], list[str]]] = {
    "list.csv": (_separated(","), _SCAN),
    "list.tsv": (_separated("\t"), _SCAN),
    "list.jsonl": (_json_lines, _SCAN),
    "settings.yaml": (lambda folder: _YAML, _CONFIG),
    "settings.json": (lambda folder: json.dumps({"epochs": 2, "size": 16, "mix": "none"}), _CONFIG),
    "settings.toml": (lambda folder: _YAML.replace(": ", " = '").replace("\n", "'\n"), _CONFIG),
    "grid.yaml": (lambda folder: _LISTS, _GRID),
    "grid.json": (lambda folder: json.dumps({"epochs": [2, 3], "mix": ["none", "cutmix"]}), _GRID),
    "space.yaml": (lambda folder: _RANGES, _SPACE),
}


@st.composite
def manifest_cases(draw: st.DrawFn) -> ManifestCase:
    """Any of the documents that commands read."""
    name = draw(st.sampled_from(sorted(_DOCUMENTS)))
    return ManifestCase(name, draw(damages(name)))


@dataclass(frozen=True)
class ArchiveCase:
    """A module of TF Hub or a weights file that is damaged, or packed to harm."""

    name: str
    trick: int
    damage: Damage
    kind = "hostile weights or archive"

    def __str__(self) -> str:
        return f"{self.name} trick={self.trick}: {self.damage}"

    def run(self, place: Place) -> str:
        """What is wrong; empty if nothing."""
        place.renew()
        path = place.path / self.name
        outside = place.path.parent / f"{place.path.name}-outside"
        tricks = _TRICKS if self.name.endswith(".tar.gz") else []
        honest = False
        if self.trick < len(tricks):
            tricks[self.trick](path, str(outside))
        else:
            before = path.read_bytes()
            self.damage.apply(path)
            honest = (
                path.is_file() and path.stat().st_size < 1 << 30 and path.read_bytes() == before
            )
        source = (
            [f"hub:{path}"] if path.name.startswith("module") else ["cnn", "--weights", str(path)]
        )
        line = ["finetune", *source, "--data", "data", "--unfreeze", "none", "--name", "new"]
        more = TRAINING if source[0] == "cnn" else ["--size", "16", "--input-range", "0..1"]
        outcome = run([*line, *more], place.path)
        if outside.exists():
            return "it wrote outside"
        if said := broken(outcome):
            return said
        if honest and outcome.status:
            return f"an honest file is refused: {outcome.err[-200:]}"
        return ""


def _packed(path: Path, change: Callable[[tarfile.TarFile], None]) -> None:
    """The archive again, with something more in it."""
    with tarfile.open(path) as archive:
        members = [(m, archive.extractfile(m)) for m in archive.getmembers()]
        contents = [(m, f.read() if f else b"") for m, f in members]
    with tarfile.open(path, "w:gz") as archive:
        for member, content in contents:
            archive.addfile(member, io.BytesIO(content))
        change(archive)


def _file(name: str, content: bytes = b"x") -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))

    return add


def _link(name: str, target: str, kind: bytes) -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member)
        _file(f"{name}/x" if kind == tarfile.SYMTYPE else name)(archive)

    return add


def _endless(path: Path, outside: str) -> None:
    """A member that declares terabytes."""
    member = tarfile.TarInfo("assets/endless")
    member.size = 1 << 42
    with tarfile.open(path) as archive:
        names = archive.getnames()
    block = member.tobuf()
    path.write_bytes(zlib.compress(block, wbits=31) if names else b"")


_OPTIONS = {"blocks": 1, "filters": 4, "dense_units": 16}
_WEIGHTS = ("x.weights.h5",)
_TRICKS: list[Callable[[Path, str], None]] = [
    lambda path, outside: _packed(path, _file(outside)),
    lambda path, outside: _packed(path, _file(f"../{Path(outside).name}")),
    lambda path, outside: _packed(path, _link("assets/l", outside, tarfile.SYMTYPE)),
    lambda path, outside: _packed(path, _link("assets/l", "../../..", tarfile.SYMTYPE)),
    lambda path, outside: _packed(path, _link("assets/l", "/etc/passwd", tarfile.LNKTYPE)),
    lambda path, outside: _packed(path, _link("assets/l", "", tarfile.FIFOTYPE)),
    lambda path, outside: _packed(path, _link("assets/l", "", tarfile.CHRTYPE)),
    lambda path, outside: _packed(path, _file("assets/" + "x/" * 3000)),
    lambda path, outside: _packed(path, _file("saved_model.pb", b"\0" * 1000)),
    lambda path, outside: _packed(path, _file("assets/zeros", bytes(1 << 24))),
    _endless,
]


def write_archives(folder: Path) -> int:
    """A module as ``module.tar.gz``, and weights of the network in both forms of Keras."""
    import backbones
    from tests.conftest import _write_module

    _write_module(folder / "module")
    with tarfile.open(folder / "module.tar.gz", "w:gz") as archive:
        for path in sorted((folder / "module").rglob("*")):
            archive.add(path, path.relative_to(folder / "module").as_posix(), recursive=False)
    shutil.rmtree(folder / "module")
    network = backbones.build("cnn", size=16, weights="none", options=_OPTIONS)
    for name in _WEIGHTS:
        network.model.save_weights(folder / name)
    return 0


@st.composite
def archive_cases(draw: st.DrawFn) -> ArchiveCase:
    """Half of the archives are packed to harm, the others damaged."""
    name = draw(st.sampled_from(["module.tar.gz", *_WEIGHTS]))
    return ArchiveCase(name, draw(st.integers(0, 2 * len(_TRICKS) - 1)), draw(damages(name)))

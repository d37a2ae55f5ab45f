"""Folders of images: which part of a path is the split, which the class, and what is not used."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.catalog import Catalog, Sample, make_catalog
from zoo.data.walk import Files, files_below, is_image_name
from zoo.errors import ZooError

_HELD_OUT = "held-out"  # the test split, or validation where there is a test split, too
_ROLES = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("eval", "evaluation", "holdout", "heldout"), _HELD_OUT),
}
_FILL = {
    *("set", "sets", "data", "dataset", "split", "splits", "folder", "part", "the"),
    *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures"),
    *("file", "files", "sample", "samples"),
}
_GLUED = re.compile(
    r"(training|train|testing|test|validation|valid|val|dev|eval|evaluation)"
    r"(set|data|images|imgs|split)"
)
_WRAPPERS = 5  # folders in folders, as archives in archives give them
_SHOWN = 6  # names in a sentence


def split_role(name: str) -> tuple[str, str]:
    """Which split a folder's name or a manifest's value stands for, and what else it says.

    Returns:
        ``train``, ``val``, ``test`` or ``held-out`` (evaluation, holdout), empty if the name is of
        no split or of two; and the rest of the name: ``seg_train`` is ``("train", "seg")``.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name)).casefold()
    words = re.findall(r"[^\W\d_]+", _GLUED.sub(r"\1 \2", spaced))
    joined = " ".join(words).replace("hold out", "holdout").replace("held out", "heldout")
    words = joined.replace("train val", "trainval").split()
    roles = [word for word in words if word in _ROLES]
    if len(roles) != 1 or roles[0] not in (words[0], words[-1]):
        return "", joined
    return _ROLES[roles[0]], " ".join(w for w in words if w != roles[0] and w not in _FILL)


@dataclass
class _Layout:
    """Samples of a folder, and the image files that are none, by the reason."""

    samples: list[Sample] = field(default_factory=list)
    unused: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)


def scan_folder(root: Path, class_level: int = 1) -> Catalog:
    """Catalogue of a folder of class folders, with split folders above or below them or without.

    Args:
        root: the folder.
        class_level: which folder below the split names the class, from 1.

    Raises:
        ZooError: loose images without classes, classes without images or training images, two
            folders for one split.
    """
    name, files = root.resolve().name, files_below(root)
    hidden, unreadable = files.hidden, files.unreadable
    inner, files = _unwrapped(files)
    base = root / inner if inner else root
    layout = _read(base, files, class_level)
    notes = [f"read from {inner}, the only folder in {name}"] if inner else []
    notes += layout.notes
    for reason, paths in sorted(layout.unused.items()):
        notes.append(f"not used: {_count(len(paths))} {reason} (the first is {min(paths)})")
    if hidden:
        notes.append(f"not used: {_count(hidden)} in hidden or system folders")
    notes += [f"not read: folder {folder} ({why})" for folder, why in sorted(unreadable.items())]
    catalog = make_catalog(name, base, layout.samples, notes=notes)
    _check(base, catalog)
    return catalog


def _count(number: int) -> str:
    return f"{number} image file{'s' * (number != 1)}"


def _unwrapped(files: Files) -> tuple[str, Files]:
    """The files below the only folder, where folders are all that is in it; and its path."""
    path: list[str] = []
    while len(path) < _WRAPPERS:
        tops = {folder for folder in files.folders if "/" not in folder}
        loose = any("/" not in p and is_image_name(p) for p in files.paths)
        only = next(iter(tops), "")
        if len(tops) != 1 or loose or split_role(only)[0]:
            break
        start = f"{only}/"
        below = {f.removeprefix(start) for f in files.folders if f.startswith(start)}
        if not below:
            break
        path.append(only)
        paths = [p.removeprefix(start) for p in files.paths if p.startswith(start)]
        files = Files(paths, below)
    return "/".join(path), files


def _read(root: Path, files: Files, level: int) -> _Layout:
    tops = sorted(folder for folder in files.folders if "/" not in folder)
    below: dict[str, set[str]] = {top: set() for top in tops}
    for folder in files.folders:
        if folder.count("/") == 1:
            top, _, sub = folder.partition("/")
            below[top].add(sub)
    roles = _split_folders(root, tops, below, files.paths)
    if roles:
        return _split_above(root, files, roles, level)
    inner = {top: _roles_below(subs) for top, subs in below.items()}
    if any(inner.values()):
        return _split_below(root, files, inner)
    layout = _Layout()
    _add_classes(layout, [(p, p.split("/"), "") for p in files.paths], level)
    if level == 1:
        _refuse_empty(root, tops, layout)
    return layout


def _split_folders(
    root: Path, tops: list[str], below: Mapping[str, set[str]], paths: Iterable[str]
) -> dict[str, str]:
    """Split of each split folder; empty if the folders are the classes."""
    named = {top: split_role(top) for top in tops}
    by_rest: dict[str, dict[str, str]] = defaultdict(dict)
    for top, (role, rest) in named.items():
        if role:
            by_rest[rest][top] = role
    chosen = by_rest.get("", {})
    if "train" not in chosen.values():
        several = [roles for roles in by_rest.values() if {"train"} < set(roles.values())]
        if len(several) > 1:
            first, second = (min(roles) for roles in several[:2])
            raise ZooError(
                f"{root} names class and split in one folder ({first}, {second}): expected "
                f"train/CLASS, test/CLASS, or a manifest with the columns path, label and split"
            )
        chosen = several[0] if several else {}
    if not chosen:
        return {}
    others = [top for top in tops if top not in chosen and below[top]]
    trains = [top for top, role in chosen.items() if role == "train"]
    if not any(below[top] for top in trains):
        filled = {p.partition("/")[0] for p in paths if "/" in p and is_image_name(p)}
        if len(chosen) > 1 or filled <= set(chosen):
            raise _flat(root, trains[0], chosen)
        return {}  # a class that is called train
    if len(chosen) == 1 and others:
        return {}
    return _settled(root, chosen)


def _flat(root: Path, train: str, chosen: Iterable[str]) -> ZooError:
    return ZooError(
        f"{train}/ of {root} holds no class folders (found {', '.join(sorted(chosen))}): put the "
        f"images of each class into a folder of its own, as {train}/cat/1.jpg, or name the classes "
        f"in a manifest.csv with the columns path and label, and split if you have one"
    )


def _settled(root: Path, roles: Mapping[str, str]) -> dict[str, str]:
    """Split of each folder, after what is held out became validation or test."""
    if len(set(roles.values())) < len(roles):
        raise ZooError(f"{root} has two folders for one split: {', '.join(sorted(roles))}")
    given = set(roles.values())
    # as in iNaturalist-12K: what is called val is the only held-out data, so it is the test
    names = {_HELD_OUT: "val" if "test" in given else "test"}
    if {_HELD_OUT, "val", "test"} <= given:
        raise ZooError(
            f"{root} has four folders for three splits ({', '.join(sorted(roles))}): remove one, "
            f"or name the split of each image in a manifest"
        )
    if not given & {"test", _HELD_OUT}:
        names["val"] = "test"
    return {top: names.get(role, role) for top, role in roles.items()}


def _roles_below(subfolders: Iterable[str]) -> dict[str, str]:
    """Split of each folder below a class; empty if they are no splits."""
    named = {sub: split_role(sub) for sub in subfolders}
    roles = {sub: role for sub, (role, rest) in named.items() if role and not rest}
    return roles if "train" in roles.values() and len(roles) > 1 else {}


def _split_above(root: Path, files: Files, roles: Mapping[str, str], level: int) -> _Layout:
    """``train/cat``, ``test/cat``."""
    layout = _Layout()
    inside: dict[str, list[tuple[str, list[str], str]]] = {top: [] for top in roles}
    for path in files.paths:
        top, *rest = path.split("/")
        if not rest or top not in roles:
            _unused(layout, f"in {top}/, beside {_listed(roles)}" if rest else "loose", path)
            continue
        inside[top].append((path, rest, roles[top]))
    for top, found in inside.items():
        folders = any(folder.startswith(f"{top}/") for folder in files.folders)
        if folders or roles[top] == "train":
            _add_classes(layout, found, level)
            continue
        for path, _, _ in found:  # unlabelled, as the test images of a competition
            _unused(layout, f"in {top}/, which has no class folders: they have no labels", path)
        if roles[top] not in {s.split for s in layout.samples}:
            layout.notes.append(
                f"no image of {top}/ can be used: the {roles[top]} images are drawn from the others"
            )
    if level == 1:
        classes = [
            folder
            for folder in files.folders
            if folder.count("/") == 1 and folder.partition("/")[0] in roles
        ]
        _refuse_empty(root, [folder.partition("/")[2] for folder in classes], layout)
    return layout


def _listed(roles: Iterable[str]) -> str:
    return ", ".join(f"{role}/" for role in sorted(roles))


def _split_below(root: Path, files: Files, inner: Mapping[str, dict[str, str]]) -> _Layout:
    """``cat/train``, ``cat/test``."""
    without = sorted(top for top, roles in inner.items() if not roles)
    if without:
        example = min(top for top, roles in inner.items() if roles)
        raise ZooError(
            f"class {without[0]!r} of {root} has no split folders, but {example!r} has "
            f"({_listed(inner[example])}): give all classes the same"
        )
    settled = {top: _settled(root / top, roles) for top, roles in inner.items()}
    layout = _Layout()
    for path in files.paths:
        top, *rest = path.split("/")
        role = settled.get(top, {}).get(rest[0], "") if len(rest) > 1 else ""
        if role:
            layout.samples.append(Sample(path, _normal(top), role))
        else:
            _unused(layout, "beside the split folders", path)
    layout.notes.append(f"the splits are below the classes ({_listed(next(iter(inner.values())))})")
    return layout


def _add_classes(layout: _Layout, found: Iterable[tuple[str, list[str], str]], level: int) -> None:
    """Add samples; each comes with the parts of its path below its split, and its split."""
    deeper: Counter[str] = Counter()
    for path, parts, split in found:
        if len(parts) <= level:
            where = "beside the class folders" if level == 1 else f"above folder level {level}"
            _unused(layout, where, path)
            continue
        layout.samples.append(Sample(path, _normal(parts[level - 1]), split))
        if len(parts) > level + 1:
            deeper["/".join(parts[: level + 1])] += 1
    if deeper:
        shown = ", ".join(sorted(deeper)[:_SHOWN])
        layout.notes.append(
            f"folder level {level} is the class; {len(deeper)} folders are below it ({shown}"
            f"{', ...' if len(deeper) > _SHOWN else ''}): --class-level {level + 1} makes these "
            f"the classes"
        )


def _normal(label: str) -> str:
    """A class name in its composed Unicode form: macOS writes decomposed ones."""
    return unicodedata.normalize("NFC", label)


def _unused(layout: _Layout, reason: str, path: str) -> None:
    if is_image_name(path):
        layout.unused["beside the folders" if reason == "loose" else reason].append(path)


def _refuse_empty(root: Path, classes: Iterable[str], layout: _Layout) -> None:
    filled = {sample.label for sample in layout.samples}
    empty = sorted({_normal(name) for name in classes} - filled)
    if empty and filled:
        raise ZooError(
            f"class {empty[0]!r} of {root} has no files: add images, or remove its folder"
        )


def _check(root: Path, catalog: Catalog) -> None:
    """Refuse classes that have held-out images only.

    Raises:
        ZooError: there is one.
    """
    of = {
        split: {catalog.classes[k] for k in set(catalog.labels[catalog.splits == split].tolist())}
        for split in ("", "train", "val", "test")
    }
    for split, name in (("test", "test"), ("val", "validation")):
        learnt = of[""] | of["train"] | (of["val"] if split == "test" else set())
        if of[split] - learnt:
            label = min(of[split] - learnt)
            same = [other for other in learnt if other.casefold() == label.casefold()]
            hint = f" ({same[0]!r} differs in case only)" if same else ""
            raise ZooError(
                f"class {label!r} of {root} is in the {name} images only{hint}: it cannot be "
                f"learnt; remove it there, or add training images"
            )

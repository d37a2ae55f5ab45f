"""Ways in which files come to harm: by a disk, an editor, a program, or with bad intent."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

# what a field is replaced by
WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    7,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    0.5,
    "",
    "x",
    "../../x",
    "\x1b[2Jx\n",
    "x" * 5000,
    [],
    [1],
    ["x", "x"],
    {},
    {"x": 1},
    [[[]]],
)


@dataclass(frozen=True)
class Damage:
    """What is done to a file.

    Attributes:
        way: one of :data:`WAYS`.
        at: where in the file, from 0 to 1.
        pick: which of what there is to choose from, counted around.
        wrong: which of :data:`WRONG` is put in.
    """

    way: str
    at: float
    pick: int
    wrong: int

    def __str__(self) -> str:
        return f"{self.way} at={self.at:.3f} pick={self.pick} wrong={self.wrong}"

    def apply(self, path: Path) -> None:
        """Damage a file in its place."""
        WAYS[self.way](path, self)


def damages(path: str) -> st.SearchStrategy[Damage]:
    """What can happen to a file of this name."""
    ways = [
        way
        for way, suffixes in _FOR.items()
        for _ in range(4 if suffixes else 1)  # what only some files suffer is less often noticed
        if not suffixes or path.endswith(suffixes)
    ]
    return st.builds(
        Damage,
        way=st.sampled_from(ways),
        at=st.floats(0, 1, exclude_max=True),
        pick=st.integers(0, 9999),
        wrong=st.integers(0, len(WRONG) - 1),
    )


def _rewrite(change: Callable[[bytes, Damage], bytes]) -> Callable[[Path, Damage], None]:
    def apply(path: Path, damage: Damage) -> None:
        path.write_bytes(change(path.read_bytes(), damage))

    return apply


def _truncate(content: bytes, damage: Damage) -> bytes:
    return content[: int(len(content) * damage.at)]


def _flip(content: bytes, damage: Damage) -> bytes:
    if not content:
        return b"\0"
    place = int(len(content) * damage.at)
    changed = bytearray(content)
    changed[place] ^= 1 << damage.pick % 8
    return bytes(changed)


def _zeros(content: bytes, damage: Damage) -> bytes:
    place = int(len(content) * damage.at)
    return content[:place] + bytes(min(64, len(content) - place)) + content[place + 64 :]


def _digit(content: bytes, damage: Damage) -> bytes:
    """Another digit: what an editor or a liar does."""
    places = [i for i, c in enumerate(content) if 48 <= c < 58]
    if not places:
        return content + b"7"
    place = places[damage.pick % len(places)]
    digit = b"%d" % ((content[place] - 48 + 1 + damage.wrong % 8) % 10)
    return content[:place] + digit + content[place + 1 :]


def _line(content: bytes, damage: Damage) -> bytes:
    """A line is lost, or there twice."""
    lines = content.splitlines(keepends=True) or [b""]
    place = damage.pick % len(lines)
    return b"".join(
        lines[:place] + lines[place : place + 1] * (damage.wrong % 2 * 2) + lines[place + 1 :]
    )


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Each container with the key of each of its values."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        found.append((value, key))
        _places(value[key], found)
    return found


def _change_json(content: bytes, damage: Damage, *, drop: bool) -> bytes:
    lines = (
        content.split(b"\n") if b"\n{" in content and not content.startswith(b"{\n") else [content]
    )
    place = damage.pick % len(lines)
    try:
        value = json.loads(lines[place])
    except ValueError:
        return content + b"{"
    places = _places(value, [])
    if not places or damage.at > 0.97:
        value = WRONG[damage.wrong]
    else:
        container, key = places[int(damage.at / 0.97 * len(places))]
        if drop:
            del container[key]
        else:
            container[key] = WRONG[damage.wrong]
    lines[place] = json.dumps(value).encode()
    return b"\n".join(lines)


def _field(content: bytes, damage: Damage) -> bytes:
    return _change_json(content, damage, drop=False)


def _missing(content: bytes, damage: Damage) -> bytes:
    return _change_json(content, damage, drop=True)


def _nested(content: bytes, damage: Damage) -> bytes:
    return b'{"settings": ' + b"[" * 200_000


def _remove(path: Path, damage: Damage) -> None:
    path.unlink()


def _folder(path: Path, damage: Damage) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path, damage: Damage) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path, damage: Damage) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _dangling(path: Path, damage: Damage) -> None:
    path.unlink()
    path.symlink_to("nothing")


def _sibling(path: Path, damage: Damage) -> None:
    """Another file of the folder is there under this name."""
    others = sorted(p for p in path.parent.iterdir() if p.is_file() and p != path)
    path.unlink()
    if others:
        shutil.copyfile(others[damage.pick % len(others)], path)


def _sparse(path: Path, damage: Damage) -> None:
    """It seems to hold more than there is memory."""
    os.truncate(path, 1 << 40)


def _cell(content: bytes, damage: Damage) -> bytes:
    """A cell of a CSV file has another value."""
    rows = [line.split(b",") for line in content.splitlines()]
    if not rows:
        return b"x"
    row = rows[damage.pick % len(rows)]
    row[int(damage.at * len(row))] = str(WRONG[damage.wrong])[:100].encode()
    return b"\r\n".join(b",".join(r) for r in rows) + b"\r\n"


def _array(path: Path, damage: Damage) -> None:
    """One array of an ``.npz`` file is another one."""
    with np.load(path) as stored:
        arrays = dict(stored)
    name = sorted(arrays)[damage.pick % len(arrays)]
    old = np.atleast_1d(arrays[name])
    new: list[Any] = [
        old[:0],
        old[..., None],
        np.zeros(old.shape, object),
        np.full(old.shape, "x"),
        np.full(old.shape, -(10**9)),
        np.full(old.shape, 1e30),
        old[::-1],
        np.asarray(3),
    ]
    if old.dtype.kind == "f":
        new += [np.full(old.shape, np.nan), np.full(old.shape, np.inf), old * 2, -old]
    if old.dtype.kind == "U":
        new += [np.full(old.shape, "../../data/x.png"), np.full(old.shape, "\x1b[2J\n")]
    arrays[name] = new[damage.wrong % len(new)]
    if damage.at < 0.2:
        del arrays[name]
    np.savez(path, allow_pickle=True, **arrays)


def _bomb(path: Path, damage: Damage) -> None:
    """An array of many equal values that declares far more than it takes in the file."""
    header = io.BytesIO()
    shape = "(1000000000, 3)" if damage.wrong % 2 else "(3, 10000000000000)"
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    header.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
    if path.suffix == ".npy":
        path.write_bytes(header.getvalue())
        return
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    name = sorted(members)[damage.pick % len(members)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, content in members.items():
            archive.writestr(other, header.getvalue() if other == name else content)


def _zip_member(path: Path, damage: Damage) -> None:
    """A member of a ``.keras`` file is lost or damaged; the archive itself is well-formed."""
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    name = sorted(members)[damage.pick % len(members)]
    with zipfile.ZipFile(path, "w") as archive:
        for other, content in members.items():
            if other == name:
                if damage.wrong % 4 == 0:
                    continue
                change = [_truncate, _flip, _field][damage.wrong % 3]
                content = change(content, damage)
            archive.writestr(other, content)


def _huge_layers(path: Path, damage: Damage) -> None:
    """The configuration of a ``.keras`` file declares far larger layers than its weights have."""
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    config = json.loads(members["config.json"])
    sizes = [(c, k) for c, k in _places(config, []) if k in {"units", "filters"}]
    sizes += [(c, k) for c, k in _places(config, []) if isinstance(c[k], int) and c[k] > 7]
    container, key = sizes[damage.pick % len(sizes)]
    container[key] = [10**6, 10**9, 10**12, 2**31][damage.wrong % 4]
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _sql(path: Path, damage: Damage) -> None:
    """A value of a database is another one, a row is lost, or a table."""
    with closing(sqlite3.connect(path)) as found:
        tables = sorted(
            row[0] for row in found.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        )
        filled = [t for t in tables if found.execute(f"SELECT count(*) FROM {t}").fetchone()[0]]
        table = filled[damage.pick % len(filled)]
        if damage.wrong % 7 == 0:
            found.execute(f"DROP TABLE {table}")
        elif damage.wrong % 7 == 1:
            found.execute(f"DELETE FROM {table} WHERE rowid = 1 + {damage.pick % 3}")
        else:
            columns = [row[1] for row in found.execute(f"PRAGMA table_info({table})")]
            column = columns[int(damage.at * len(columns))]
            wrong = WRONG[damage.wrong]
            if not isinstance(wrong, str | float | None):
                wrong = json.dumps(wrong)[:1000]
            found.execute("PRAGMA ignore_check_constraints = 1")
            found.execute(f"UPDATE OR REPLACE {table} SET {column} = ?", (wrong,))
        found.commit()


def _sql_quietly(path: Path, damage: Damage) -> None:
    try:
        _sql(path, damage)
    except sqlite3.Error:  # a constraint forbids it
        path.write_bytes(_truncate(path.read_bytes(), damage))


WAYS: dict[str, Callable[[Path, Damage], None]] = {
    "truncate": _rewrite(_truncate),
    "flip": _rewrite(_flip),
    "zeros": _rewrite(_zeros),
    "empty": _rewrite(lambda content, damage: b""),
    "garbage": _rewrite(lambda content, damage: bytes(range(256)) * (1 + damage.pick % 9)),
    "digit": _rewrite(_digit),
    "line": _rewrite(_line),
    "field": _rewrite(_field),
    "missing field": _rewrite(_missing),
    "nested": _rewrite(_nested),
    "cell": _rewrite(_cell),
    "remove": _remove,
    "folder": _folder,
    "fifo": _fifo,
    "loop": _loop,
    "dangling link": _dangling,
    "sibling": _sibling,
    "sparse": _sparse,
    "array": _array,
    "bomb": _bomb,
    "member": _zip_member,
    "huge layers": _huge_layers,
    "sql": _sql_quietly,
}
_JSON = (".json", ".jsonl", ".log")
_TEXT = (*_JSON, ".csv", ".yaml", ".md")
_FOR: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(WAYS, ()),
    "digit": _TEXT,
    "line": _TEXT,
    "field": _JSON,
    "missing field": _JSON,
    "nested": _JSON,
    "cell": (".csv",),
    "array": (".npz",),
    "bomb": (".npz", ".npy"),
    "member": (".keras",),
    "huge layers": (".keras",),
    "sql": (".sqlite3",),
}

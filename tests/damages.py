"""What may happen to a file between two runs: for tests of what an interrupted run left."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np


def truncate(path: Path) -> None:
    """To a third."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def cut_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garbage(path: Path) -> None:
    """As long as before."""
    path.write_bytes(np.random.default_rng(7).bytes(path.stat().st_size))


def one_bit(path: Path) -> None:
    """A third of the way in; of an archive in its first member's numbers, since some bits of its frame mean nothing."""
    content = bytearray(path.read_bytes())
    place = len(content) // 3
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            first = archive.infolist()[0]
        name, extra = (int.from_bytes(content[first.header_offset + at :][:2], "little") for at in (26, 28))
        place = first.header_offset + 30 + name + extra + first.compress_size - 1
    content[place] ^= 1
    path.write_bytes(content)


def many_bits(path: Path) -> None:
    """One of every hundred bytes."""
    content = bytearray(path.read_bytes())
    for place in range(50, len(content), 100):
        content[place] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def directory(path: Path) -> None:
    """A folder with something in it in the file's place."""
    path.unlink()
    path.mkdir()
    (path / "a file").write_text("in it")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def wrong_shapes(path: Path) -> None:
    """The same names, readable, with arrays one row longer."""
    longer = {
        name: np.concatenate([array, array[-1:]]) if array.ndim and len(array) else array
        for name, array in _arrays(path).items()
    }
    np.savez(path, **longer)


def wrong_keys(path: Path) -> None:
    """The same arrays under other names."""
    np.savez(path, **{f"old {name}": array for name, array in _arrays(path).items()})


def lacks_an_array(path: Path) -> None:
    arrays = _arrays(path)
    arrays.pop(sorted(arrays)[-1])
    np.savez(path, **arrays)


def wrong_values(path: Path) -> None:
    """Readable, and as large as before, but no longer what was written."""
    np.savez(
        path,
        **{name: array if array.dtype.kind == "U" else array + 1 for name, array in _arrays(path).items()},
    )


def of_another_pass(path: Path) -> None:
    """A sound file of something else."""
    np.savez(path, pictures=np.arange(4))


Damage = Callable[[Path], None]
# To any file, and to parts, which hold arrays, besides.
TO_FILES: tuple[Damage, ...] = (truncate, cut_the_end, zeros, garbage, one_bit, empty, directory)
TO_PARTS: tuple[Damage, ...] = (
    *TO_FILES,
    wrong_shapes,
    wrong_keys,
    lacks_an_array,
    wrong_values,
    of_another_pass,
)


def restore(copy: Path, folder: Path) -> Path:
    """A fresh copy of a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(copy, folder))

"""Taking columns out of HDF5 files that may be damaged or hostile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Deflate shrinks at most 1032 times: a dataset that declares more was not written whole.
_DEFLATE_LIMIT = 1100
EVERYTHING = slice(None)


def child(group: Any, name: str) -> Any:
    """What lies in the group under that name, None where nothing does. Links are refused."""
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{_where(group, name)} is a link, and links are not followed.")
    return group[name]


def subgroup(group: Any, name: str) -> Any:
    """The group of that name, None where there is none."""
    import h5py

    found = child(group, name)
    if found is not None and not isinstance(found, h5py.Group):
        raise ValueError(f"{_where(group, name)} must be a group.")
    return found


def written_length(group: Any, name: str) -> int | None:
    """How many values of the column of that name are in the file; None where there is none."""
    found = _dataset(group, name, None)
    if found is None:
        return None
    if found.size and not _is_written(found):
        raise ValueError(f"{_where(group, name)} declares {found.size} values, none was written.")
    return int(found.size)


def numbers(
    group: Any, name: str, size: int | None = None, window: slice = EVERYTHING
) -> NDArray[Any] | None:
    """The column of numbers [size] of that name, None where there is none.

    A column of which only the fill value is in the file comes as that value spread out.
    window: the rows that are read.
    """
    found = _dataset(group, name, None if size is None else (size,))
    if found is None:
        return None
    if found.dtype.kind not in "iuf":
        raise ValueError(f"{_where(group, name)} must hold numbers, it holds {found.dtype}.")
    if not found.size or _is_written(found):
        return found[window] if found.shape else found[()]
    return np.broadcast_to(found.fillvalue, found.shape)[window]


def texts(group: Any, name: str, size: int | None = None) -> NDArray[np.object_] | None:
    """The column of texts [size] of that name, None where there is none."""
    found = _dataset(group, name, None if size is None else (size,))
    return None if found is None else np.asarray(_text_of(found), dtype=object)


def text(group: Any, name: str) -> str | None:
    """The single text of that name, None where there is none."""
    found = _dataset(group, name, ())
    return None if found is None else str(_text_of(found))


def _text_of(dataset: Any) -> Any:
    import h5py

    if h5py.check_string_dtype(dataset.dtype) is None:
        raise ValueError(f"{dataset.name} must hold text, it holds {dataset.dtype}.")
    if dataset.size and not _is_written(dataset):
        raise ValueError(f"{dataset.name} declares {dataset.size} texts, none was written.")
    try:
        return dataset.asstr()[()]
    except UnicodeDecodeError:
        raise ValueError(f"{dataset.name} holds text that is not UTF-8.") from None


def _is_written(dataset: Any) -> bool:
    return dataset.id.get_storage_size() > 0


def _dataset(group: Any, name: str, shape: tuple[int, ...] | None) -> Any:
    """The dataset of that name and shape; one row of any length for None."""
    import h5py

    found = child(group, name)
    if found is None:
        return None
    where = _where(group, name)
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{where} must be a dataset.")
    if found.is_virtual or found.external:
        raise ValueError(f"{where} lies in another file, and links are not followed.")
    if found.shape != shape and not (shape is None and len(found.shape or ()) == 1):
        expected = "one row" if shape is None else f"shape {shape}"
        raise ValueError(f"{where} must have {expected}, its shape is {found.shape}.")
    if _is_written(found) and found.nbytes > _DEFLATE_LIMIT * found.id.get_storage_size():
        raise ValueError(f"{where} declares {found.size} values, most of them never written.")
    return found


def _where(group: Any, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"

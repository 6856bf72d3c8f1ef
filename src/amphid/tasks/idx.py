"""Read idx files: arrays of any number of axes, as the digits come in.

Four bytes of magic number (two zeros, the kind of value, the number of axes), the length of every
axis as four bytes, then the values; all big-endian.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Kinds of value by the third byte of the magic number."""


def read_idx(path: str | os.PathLike[str]) -> Tensor:
    """The array of an idx file, which may be gzipped.

    Raises OSError, in a sentence, for a file that is not there, not idx, cut short, or longer than
    its header says.
    """
    path = Path(path)
    content = _content(path)
    kind, shape, start = _header(content, path)
    size = math.prod(shape) * kind.itemsize
    if (found := len(content) - start) != size:
        raise OSError(
            f"{path} is {'cut short' if found < size else 'too long'}: its header says shape "
            f"{list(shape)}, which is {size:,} bytes, but {found:,} follow. Fetch it again."
        )
    values = np.frombuffer(content, kind, offset=start).reshape(shape)
    return torch.from_numpy(values.astype(kind.newbyteorder("=")))


def _content(path: Path) -> bytes:
    """All of the file, unpacked where it is packed."""
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise OSError(f"{path} is not a whole gzip file ({error}). Fetch it again.") from None


def _header(content: bytes, path: Path) -> tuple[np.dtype[np.generic], tuple[int, ...], int]:
    """Kind of value, shape, and where the values start."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in KINDS:
        begins = f"begins with {content[:4].hex(' ')}" if content else "is empty"
        raise OSError(
            f"{path} is not an idx file: it should begin with 00 00, a kind of value and a number "
            f"of axes, but it {begins}."
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise OSError(f"{path} is cut short within its header. Fetch it again.")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    return np.dtype(KINDS[content[2]]), shape, start

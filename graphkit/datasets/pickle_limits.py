"""Pickles that make much out of little, told before the interpreter follows them."""

from __future__ import annotations

import mmap
import pickle
import pickletools
import re
from typing import IO

__all__ = ["Allowance", "check_memo"]

# A store under a number of 2^24 or more, as bytes or as text; it may also be a part of an array.
_HIGH = re.compile(rb"r(?=...[\x01-\xff])|p(?=\d{8,}\n)", re.DOTALL)


def check_memo(content: bytes | mmap.mmap, file: IO[bytes], pickles: int = 1) -> None:
    """Refuse a pickle that stores a value under a number beyond its length: the interpreter makes a table of that size.

    Only where the bytes look like such a number the operations are walked through.

    Args:
        content: the bytes.
        file: the same, at the beginning of the pickle; it is moved.
        pickles: how many there are, one behind the other.

    Raises:
        pickle.UnpicklingError: for such a number.

    Example:
        >>> import io
        >>> data = bytes([128, 2]) + b"]r" + bytes([255, 255, 255, 127]) + b"."
        >>> check_memo(data, io.BytesIO(data))
        Traceback (most recent call last):
        _pickle.UnpicklingError: a value is stored under the number 2147483647 in 9 bytes
    """
    if _HIGH.search(content) is None:
        return
    for _ in range(pickles):
        for operation, argument, _ in pickletools.genops(file):
            if operation.name in ("LONG_BINPUT", "PUT") and int(argument or 0) > len(content):
                raise pickle.UnpicklingError(f"a value is stored under the number {argument} in {len(content)} bytes")


class Allowance:
    """How many values a file of some bytes may hold: no more than bytes, unless lists share what is in them over and over.

    Example:
        >>> allowance = Allowance(2)
        >>> allowance.take(), allowance.take(), allowance.take()
        Traceback (most recent call last):
        _pickle.UnpicklingError: it unfolds to more values than it has bytes
    """

    def __init__(self, values: int) -> None:
        self.left = values

    def take(self) -> None:
        """Count one more value.

        Raises:
            pickle.UnpicklingError: when there are too many.
        """
        self.left -= 1
        if self.left < 0:
            raise pickle.UnpicklingError("it unfolds to more values than it has bytes")

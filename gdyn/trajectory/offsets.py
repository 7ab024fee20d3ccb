"""Where the frames of a plain dump begin, found without reading them."""

import os


def frame_offsets(descriptor: int, begin: int, end: int, first_size: int, marker: bytes) -> list[int]:
    """Where frames begin in a stretch of a plain file: guess from the size of the frame before, and verify.

    Parameters
    ----------
    descriptor : of the open file.
    begin, end : the bytes between which to look; a frame begins at the first.
    first_size : of the first frame, in bytes.
    marker : the end of the line before, and how the first line of each frame begins.
    """
    offsets, length = [begin], first_size
    while True:
        guess = offsets[-1] + length
        at = -1
        reach = 64
        while at < 0 and reach <= max(64, length // 4):
            near = max(offsets[-1] + 1, guess - reach)
            at = os.pread(descriptor, 2 * reach, near - 1).find(marker)
            reach *= 8
        at = at + near if at >= 0 else _next(descriptor, end, offsets[-1] + 1, marker)
        if not 0 <= at < end:
            return offsets
        length = at - offsets[-1]
        offsets.append(at)


def _next(descriptor: int, end: int, begin: int, marker: bytes) -> int:
    """The first place after ``begin`` where a line starts with the marker, by reading everything; -1 if none does."""
    block = 2**20
    while begin < end:
        at = os.pread(descriptor, block + len(marker), begin - 1).find(marker)
        if at >= 0:
            return begin + at
        begin += block
    return -1

"""Images that are in two splits: a test on them shows what was learned."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sr2_jax import errors, paths

DIGEST_BYTES = 16


def check(
  digests: np.ndarray, files: Sequence[Path], parts: Mapping[str, np.ndarray]
) -> None:
  """Refuses images that are in two splits, to the bit.

  Args:
    digests: of the images, uint8 [N, 16].
    files: where they come from.
    parts: indices of the images of each split.

  Raises:
    UserError: names the files.
  """
  found = across(map(bytes, digests), parts)
  if found:
    pairs = [
      f"{paths.shown(files[one])} = {paths.shown(files[other])}"
      for one, other in found
    ]
    images_are = "image is" if len(found) == 1 else "images are"
    raise errors.UserError(
      f"{len(found):,} {images_are} in two splits: {paths.listed(pairs)}.\n"
      "Remove one of each, or config.data.duplicates=allow trains with them."
    )


def digest(image: np.ndarray) -> bytes:
  """What only equal images of one shape and type have in common."""
  about = f"{image.shape}{image.dtype.str}".encode()
  content = np.ascontiguousarray(image)
  return hashlib.blake2b(
    content.data, digest_size=DIGEST_BYTES, key=about
  ).digest()


def across(
  digests: Iterable[bytes], parts: Mapping[str, np.ndarray]
) -> list[tuple[int, int]]:
  """Pairs of indices of equal images in two splits, in the order of the first.

  An image that is in several splits is in one pair with each later one of its
  kind.
  """
  split_of = {
    index: split for split, part in parts.items() for index in part.tolist()
  }
  first: dict[bytes, int] = {}
  found = []
  for index, of_image in enumerate(digests):
    if index in split_of:
      one = first.setdefault(of_image, index)
      if split_of[one] != split_of[index]:
        found.append((one, index))
  return found

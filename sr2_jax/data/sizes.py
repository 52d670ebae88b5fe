"""Sizes of images, without the images: a config is read without NumPy."""

import re

Size = tuple[int, int]  # height, width


def sides_of(text: str) -> Size | None:
  """The size that "32x16" names: 32 high and 16 wide; None for ""."""
  match = re.fullmatch(r"(\d+)x(\d+)", text)
  return (int(match[1]), int(match[2])) if match else None


def named(size: tuple[int, ...]) -> str:
  """A size in messages, as `data.size` has it."""
  return f"{size[0]}x{size[1]}"


def takes(size: Size, new: Size, *, how: str) -> bool:
  """Whether a way of `data.fit` makes an image of one size another."""
  if how == "crop":
    return size[0] >= new[0] and size[1] >= new[1]
  if how == "pad":
    return size[0] <= new[0] and size[1] <= new[1]
  return how == "resize" or size == new

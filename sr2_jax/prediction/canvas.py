"""The picture of one image, put together from the pieces that arrive; no JAX.

A piece is rounded to what the file holds at once, so that a large picture needs
no more memory than its file has values.
"""

import numpy as np

from sr2_jax import errors
from sr2_jax.data import image_file, pixels
from sr2_jax.prediction import image_files, results


class Canvas:
  """The outputs of an image.

  Args:
    picture: the image's file, for its alpha, colors and bits.
    low_res: what the network gets, [h, w, C].
    scale: super-resolution factor.
    channels: of the network.
    kind: a key of `image_files.WRITTEN`.
    bits: "auto", "8" or "16".
    chroma: enlarge the colors that a gray network does not get.
    keep_spread: keep the standard deviation of the members.

  Raises:
    UserError: if no file of this kind can hold the picture.
  """

  def __init__(
    self,
    picture: image_file.Picture,
    low_res: np.ndarray,
    *,
    scale: int,
    channels: int,
    kind: str,
    bits: str,
    chroma: bool,
    keep_spread: bool,
  ) -> None:
    height, width, given = low_res.shape
    self.shape = (scale * height, scale * width)
    image_files.check_writable(kind, self.shape[1], self.shape[0])
    self._scale = scale
    self._chroma = None
    if chroma and channels == 1 and given == 3:
      self._chroma = pixels.color_differences(pixels.to_float(low_res))
    out = 3 if self._chroma is not None else min(given, channels)
    self._alpha = None if kind == "npy" else picture.alpha
    self.notes: list[str] = []
    if kind == "npy" and picture.alpha is not None:
      self.notes.append("alpha: not in an array")
    self._bits = self._bits_of(picture, kind, bits, out)
    dtype = {None: np.float32, 8: np.uint8, 16: np.uint16}[self._bits]
    self._kind = kind
    self.values = np.empty((*self.shape, out), dtype)
    self.spread = np.empty(self.shape, np.float32) if keep_spread else None
    self.of_members: np.ndarray | None = None
    self._sum_of_spread: float | None = None

  def _bits_of(
    self, picture: image_file.Picture, kind: str, bits: str, out: int
  ) -> int | None:
    """Bits of a value in the file; None for floats."""
    if kind == "npy":
      return None
    fits = out == 1 and self._alpha is None and kind != "webp"
    if bits == "16" and not fits:
      raise errors.UserError(
        "16 bits are for gray without alpha; choose --bits=8 or --format=npy"
      )
    if bits == "auto" and picture.bits == 16 and not fits:
      self.notes.append("16 bits: written with 8")
    wanted = picture.bits if bits == "auto" else int(bits)
    return wanted if fits else 8

  @property
  def mean_spread(self) -> float | None:
    """Mean of the members' standard deviation; None for one member."""
    if self._sum_of_spread is None:
      return None
    return self._sum_of_spread / (self.shape[0] * self.shape[1])

  def put(self, piece: results.Piece) -> None:
    """Takes a piece of the result."""
    place = (piece.rows, piece.columns)
    values = piece.super_res
    if self._chroma is not None:
      differences = [
        image_files.enlarged(self._chroma[..., i], self._scale, *place)
        for i in range(2)
      ]
      values = pixels.colored(values, np.stack(differences, axis=-1))
    if self._bits is not None:
      values = pixels.quantized(values, self._bits)
    self.values[place] = values
    if piece.of_members is not None:
      self.of_members = piece.of_members
    if piece.spread is not None:
      of_pixels = piece.spread.mean(axis=-1)
      if self.spread is not None:
        self.spread[place] = of_pixels
      so_far = self._sum_of_spread or 0.0
      self._sum_of_spread = so_far + float(of_pixels.sum(dtype=np.float64))

  def for_file(self) -> np.ndarray:
    """The picture with its alpha, enlarged like the colors; [H, W] in npy."""
    if self._kind == "npy":
      return self.values[..., 0] if self.values.shape[-1] == 1 else self.values
    if self._alpha is None:
      return self.values
    alpha = image_files.enlarged(self._alpha, self._scale)
    return np.concatenate([self.values, alpha[..., None]], axis=-1)

"""A trained network that super-resolves and classifies a user's images.

All members see every image. The picture is their mean; so are the
probabilities.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax.data import pixels, sizes
from sr2_jax.models import sr2
from sr2_jax.prediction import calls, results, windows
from sr2_jax.training import network as network_lib

# How many calls the host may run ahead of the device.
_CALLS_AHEAD = 1


class Predictor:
  """A trained network, ready for images of any size.

  Attributes:
    trained: the network and its members.
    scale: super-resolution factor.
    channels: of the network, 1 or 3.
    low_res_size: (h, w) of the low-resolution images in training.
    class_names: by label; empty without a classifier.
  """

  def __init__(self, trained: network_lib.Trained) -> None:
    model = trained.network.model
    self.trained = trained
    self.scale = model.scale
    self.channels = model.channels
    self.low_res_size = trained.network.low_res_shape[:2]
    self.radius = sr2.RADIUS[model.trunk]
    classifies = model.wiring != "none"
    self.class_names = trained.origins[0].class_names if classifies else ()
    self._members = len(trained.origins)
    self._variables = jax.device_put(trained.variables)
    self._planner = calls.Planner(
      radius=self.radius, channels=self.channels, members=self._members
    )
    self._programs: dict[tuple[bool, bool], Any] = {}

  @property
  def seeds(self) -> tuple[int | None, ...]:
    """The seed of each member."""
    return tuple(origin.member.seed for origin in self.trained.origins)

  @property
  def num_programs(self) -> int:
    """Number of programs that were compiled so far."""
    return self._planner.num_programs

  def __call__(
    self,
    images: np.ndarray,
    *,
    classify: bool | None = None,
    tile: int | None = None,
    batch: int | None = None,
  ) -> results.Prediction:
    """Super-resolves and, if it can, classifies images of one size.

    Args:
      images: low-resolution, uint8 or float in [0, 1]: [H, W], [H, W, C] or
        [N, H, W, C] with C of 1 or 3. A gray network gets the luma of colors.
        An RGB network gives a gray result for a gray image.
      classify: None: only images of about the size of the training's.
      tile: side of the tiles that images are cut into; 0: not at all; None:
        only large images. The result is the same within 1e-5.
      batch: most images in a call; None: as many as fit.

    Raises:
      ValueError: for arrays of another shape, type or range.
    """
    images = np.asarray(images)
    batched = pixels.checked(images)
    height, width = batched.shape[1:3]
    reason = self.why_no_label(height, width, classify=classify, tile=tile)
    out, spread, of_members = self._room(batched, classified=reason is None)
    for piece in self.pieces(
      batched, classify=[reason is None] * len(batched), tile=tile, batch=batch
    ):
      place = (piece.image, piece.rows, piece.columns)
      out[place] = piece.super_res
      if spread is not None:
        spread[place] = piece.spread
      if of_members is not None:
        of_members[piece.image] = piece.of_members

    def like_images(x: Any) -> Any:
      return x[0] if x is not None and images.ndim < 4 else x

    def like_pixels(x: Any) -> Any:
      x = like_images(x)
      return x[..., 0] if x is not None and images.ndim == 2 else x

    probabilities, labels, agree = results.summary(of_members)
    return results.Prediction(
      super_res=like_pixels(out),
      spread=like_pixels(spread),
      labels=like_images(labels),
      probabilities=like_images(probabilities),
      of_members=like_images(of_members),
      agree=like_images(agree),
      class_names=self.class_names,
      reason=reason,
    )

  def _room(
    self, batched: np.ndarray, *, classified: bool
  ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Arrays for the pictures, their spread and the probabilities."""
    number, height, width, channels = batched.shape
    shape = (
      number,
      height * self.scale,
      width * self.scale,
      min(channels, self.channels),
    )
    several = self._members > 1
    of_members = (number, self._members, len(self.class_names))
    return (
      np.empty(shape, np.float32),
      np.empty(shape, np.float32) if several else None,
      np.empty(of_members, np.float32) if classified else None,
    )

  def tile_for(self, height: int, width: int, tile: int | None = None) -> int:
    """The side of the tiles of an image; 0 if it is not cut.

    Raises:
      ValueError: if a tile of this side would keep no pixel.
    """
    least = windows.least_tile(self.radius)
    if tile is None:
      is_small = height * width <= windows.LARGEST_WHOLE
      return 0 if is_small else windows.default_tile(self.radius)
    if tile and tile < least:
      raise ValueError(f"tiles of this network have {least} px or more.")
    return tile if tile and max(height, width) > tile else 0

  def why_no_label(
    self,
    height: int,
    width: int,
    *,
    classify: bool | None = None,
    tile: int | None = None,
  ) -> str | None:
    """Why an image of this size gets no label; None if it gets one.

    The classifier averages over the whole image, so that it knows nothing about
    images that are much larger or smaller than those it was trained on.
    """
    if classify is False:
      return "not asked for"
    if not self.class_names:
      return "the network has no classifier"
    if self.tile_for(height, width, tile):
      return "a tile is not an image: cut images get no label"
    usual = self.low_res_size
    is_usual = all(
      side / 2 <= given <= side * 2
      for side, given in zip(usual, (height, width), strict=True)
    )
    if classify is None and not is_usual:
      return (
        f"trained on {sizes.named(usual)}, not {sizes.named((height, width))}"
      )
    return None

  def pieces(
    self,
    images: calls.Images,
    *,
    classify: Sequence[bool],
    tile: int | None = None,
    batch: int | None = None,
  ) -> Iterator[results.Piece]:
    """Results for the parts of images of any sizes, as they are computed.

    Args:
      images: each [h, w, C] as `pixels` has them.
      classify: of each image, whether it is to be classified.
      tile: as in `__call__`.
      batch: as in `__call__`.
    """
    tiles = [
      self.tile_for(image.shape[0], image.shape[1], tile) for image in images
    ]
    pending: collections.deque[tuple[calls.Call, Mapping[str, jax.Array]]] = (
      collections.deque()
    )
    for call in self._planner.calls(
      images, classify=classify, tiles=tiles, batch=batch
    ):
      pending.append((call, self._start(call, images)))
      if len(pending) > _CALLS_AHEAD:
        yield from self._finish(*pending.popleft())
    while pending:
      yield from self._finish(*pending.popleft())

  def _start(
    self, call: calls.Call, images: calls.Images
  ) -> Mapping[str, jax.Array]:
    """Starts a call; the batch is filled up with zeros."""
    low_res = np.zeros((call.size, *call.kind.shape, self.channels), np.float32)
    start = np.zeros((call.size, 2), np.int32)
    for place, part in enumerate(call.parts):
      rows, columns = part.window.rows, part.window.columns
      crop = images[part.image][
        rows.first : rows.first + rows.size,
        columns.first : columns.first + columns.size,
      ]
      start[place] = part.start
      low_res[place, part.start[0] :, part.start[1] :] = pixels.with_channels(
        pixels.to_float(crop), self.channels
      )
    key = (call.kind.classify, call.kind.averaged)
    if key not in self._programs:
      self._programs[key] = self._program(*key)
    return self._programs[key](
      self._variables, low_res, start if call.kind.is_placed else None
    )

  def _finish(
    self, call: calls.Call, started: Mapping[str, jax.Array]
  ) -> Iterable[results.Piece]:
    """Waits for a call and cuts out what is kept of its windows."""
    super_res, spread, of_members = (
      None if value is None else np.asarray(value)
      for value in map(started.get, ("super_res", "spread", "of_members"))
    )
    assert super_res is not None
    for place, part in enumerate(call.parts):
      (rows, columns), inner = part.kept(self.scale)
      kept = (place, *inner)
      yield results.Piece(
        image=part.image,
        rows=rows,
        columns=columns,
        super_res=super_res[kept],
        spread=None if spread is None else spread[kept],
        of_members=None if of_members is None else of_members[place],
        is_last=part.is_last,
      )

  def _program(self, classify: bool, averaged: bool) -> Any:
    """Compiled function of (variables, low_res, start)."""
    model = self.trained.network.model
    if not classify:
      model = model.clone(wiring="none")

    def of_member(variables: Any, low_res: Any, start: Any) -> Any:
      used = {
        kind: {k: v for k, v in tree.items() if classify or k != "classifier"}
        for kind, tree in variables.items()
      }
      return model.apply(used, low_res, start=start, train=False)

    def program(
      variables: Any, low_res: jax.Array, start: jax.Array | None
    ) -> dict[str, jax.Array]:
      outputs = jax.vmap(of_member, in_axes=(0, None, None))(
        variables, low_res, start
      )
      super_res = outputs["super_res"]
      if averaged:
        super_res = super_res.mean(axis=-1, keepdims=True)
      found = {"super_res": super_res.mean(axis=0)}
      if self._members > 1:
        found["spread"] = super_res.std(axis=0, ddof=1)
      if classify:
        probabilities = jax.nn.softmax(outputs["logits"], axis=-1)
        found["of_members"] = jnp.moveaxis(probabilities, 0, 1)
      return found

    return jax.jit(program)

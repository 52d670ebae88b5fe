"""Doing a plan: reads, predicts and writes images, and says what came of it.

It goes through the images a few at a time; one bad file never stops the others.
"""

import collections
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import tqdm

from sr2_jax import errors, names, paths
from sr2_jax.data import image_file, pixels, sizes
from sr2_jax.prediction import (
  canvas,
  choice,
  outputs,
  table,
  work_list,
)
from sr2_jax.prediction import plan as plan_lib

if TYPE_CHECKING:  # These load JAX.
  from sr2_jax.prediction import degraded
  from sr2_jax.prediction import predictor as predictor_lib

SOME_FAILED = 1
# Images that are in memory at once, unless one is larger.
_MOST_IMAGES, _MOST_PIXELS = 512, 2**22


@dataclasses.dataclass
class Item:
  """An image in work.

  Attributes:
    job: its files.
    low_res: what the network gets, [h, w, C].
    canvas: its outputs.
    profile: color profile to store, or None.
    reason: why it gets no label, or None.
    notes: what to know about it.
  """

  job: work_list.Job
  low_res: np.ndarray
  canvas: canvas.Canvas
  profile: bytes | None
  reason: str | None
  notes: list[str]


class Session:
  """Does a plan.

  Args:
    plan: the plan.
    predictor: the network that it chose.
    degradation: makes the network's inputs first, or None.
  """

  def __init__(
    self,
    plan: plan_lib.Plan,
    predictor: "predictor_lib.Predictor",
    degradation: "degraded.Degradation | None" = None,
  ) -> None:
    self._plan, self._predictor = plan, predictor
    self._command = plan.command
    self._degrade = degradation
    self._rows = dict(plan.rows)
    self._notes: collections.Counter[str] = collections.Counter()
    self._done = self._failed = 0
    self._seconds = {"network": 0.0, "files": 0.0}
    self._digests = plan.chosen.digests
    self._expects_labels = plan.chosen.classifies and (
      self._command.classify != "no"
    )
    self._positions = {job.path: i for i, job in enumerate(plan.every)}

  def work(self) -> int:
    """Goes through all images; returns the exit code."""
    self._say(choice.title_of(self._plan.chosen))
    for note in self._plan.chosen.notes:
      self._say(f"note: {note}")
    for folder, problem in self._plan.listing.failures:
      self._fail(str(folder), f"{paths.shown(folder)}: {problem}.")
    hidden = True if self._command.quiet else None  # None: if no terminal.
    try:
      with tqdm.tqdm(
        total=len(self._plan.jobs), unit="img", disable=hidden
      ) as bar:
        for items in self._chunks(bar):
          self._predict(items, bar)
    finally:
      # Also after Ctrl-C: the files that are there have their rows.
      self._write_table()
    self._conclude()
    return SOME_FAILED if self._failed else errors.DONE

  def _chunks(self, bar: tqdm.tqdm) -> Iterator[list[Item]]:
    """Images that are worked on together."""
    items, num_pixels = [], 0
    for job in self._plan.jobs:
      item = self._open(job)
      if item is None:
        bar.update()
        continue
      items.append(item)
      num_pixels += item.low_res.shape[0] * item.low_res.shape[1]
      if len(items) == _MOST_IMAGES or num_pixels >= _MOST_PIXELS:
        yield items
        items, num_pixels = [], 0
    if items:
      yield items

  def _open(self, job: work_list.Job) -> Item | None:
    """An image read from its file; None if that fails."""
    try:
      with self._timed("files"):
        picture = image_file.read(
          job.path,
          scale=1 if self._degrade else self._predictor.scale,
          max_pixels=self._command.max_pixels,
        )
      return self._item(job, picture)
    except errors.UserError as error:
      name = paths.shown(job.path)
      text = str(error)
      if not text.startswith(name):
        text = f"{name}: {text}."
      self._fail(str(job.path), text)
      return None

  def _item(self, job: work_list.Job, picture: image_file.Picture) -> Item:
    """Raises UserError if the image cannot be worked on."""
    command, network = self._command, self._predictor
    notes = list(picture.notes)
    low_res = picture.pixels
    if command.invert:
      low_res = pixels.inverted(low_res)
    notes += self._remarks(low_res)
    if self._degrade is not None:
      low_res, cropped = self._degrade(low_res, self._positions[job.path])
      notes += [f"cropped to a multiple of {network.scale}"] * cropped
      if picture.alpha is not None:
        notes.append("alpha: left out by --degrade")
        picture = dataclasses.replace(picture, alpha=None)
    height, width, channels = low_res.shape
    out = canvas.Canvas(
      picture,
      low_res,
      scale=network.scale,
      channels=network.channels,
      kind=command.format,
      bits=command.bits,
      chroma=command.color == "chroma",
      keep_spread=command.uncertainty or command.side_by_side,
    )
    profile = picture.profile
    if profile is not None and out.values.shape[-1] != channels:
      profile = None
      notes.append("color profile: not kept")
    wanted = {"auto": None, "yes": True, "no": False}[command.classify]
    reason = network.why_no_label(
      height, width, classify=wanted, tile=command.tile
    )
    return Item(job, low_res, out, profile, reason, [*notes, *out.notes])

  def _remarks(self, given: np.ndarray) -> list[str]:
    """What the user may not have meant."""
    network, command = self._predictor, self._command
    notes = []
    if given.shape[-1] > network.channels:
      notes.append(
        "colors: enlarged by bicubic interpolation"
        if command.color == "chroma" and self._degrade is None
        else "colors: the network is gray and gets the luma only"
      )
    if given.shape[-1] < network.channels:
      notes.append("gray: the mean of the network's three channels")
    data = self._plan.chosen.origins[0].config["data"]["name"]
    is_light = pixels.brightness(given) > 0.5
    if data.startswith("mnist") and is_light and not command.invert:
      notes.append("looks inverted, dark on light; --invert exchanges them")
    low = network.low_res_size
    made = tuple(network.scale * side for side in low)
    if given.shape[:2] == made and self._degrade is None:
      way_out = "; --degrade makes that first"
      notes.append(
        f"{sizes.named(made)} is the size that this network makes, not takes "
        f"({sizes.named(low)})"
        f"{'' if self._plan.chosen.low_res_path else way_out}"
      )
    return notes

  def _predict(self, items: list[Item], bar: tqdm.tqdm) -> None:
    """Predicts images and writes each as soon as it is complete."""
    pieces = self._predictor.pieces(
      [item.low_res for item in items],
      classify=[item.reason is None for item in items],
      tile=self._command.tile,
      batch=self._command.batch,
    )
    while True:
      with self._timed("network"):
        piece = next(pieces, None)
      if piece is None:
        break
      item = items[piece.image]
      with self._timed("files"):
        item.canvas.put(piece)
        if not piece.is_last:
          bar.set_postfix_str(f"tile at row {piece.rows.start:,}")
          continue
        row = self._finish(item)
      self._done += 1
      self._note_down(row)
      bar.update()
    # Their pictures would be in memory while the next ones are made.
    items.clear()

  def _finish(self, item: Item) -> table.Row:
    """Writes an image's files; returns its row."""
    row = outputs.row(
      item.job,
      item.canvas,
      size=item.low_res.shape[:2],
      seeds=self._predictor.seeds,
      class_names=self._predictor.class_names,
      weights=self._command.weights,
      digests=self._digests,
    )
    notes = list(item.notes)
    if item.reason and self._expects_labels:
      notes.append(f"no label: {item.reason}")
    row = dataclasses.replace(row, note="; ".join(notes))
    self._notes.update(notes)
    try:
      outputs.write(
        item.job,
        item.canvas,
        row,
        low_res=item.low_res,
        kind=self._command.format,
        profile=item.profile,
        title=choice.short_title(self._plan.chosen),
        seeds=len(self._predictor.seeds),
      )
    except OSError as error:
      raise errors.UserError(
        f"{error.filename or item.job.output}: {error.strerror or error}.\n"
        "The files before it are complete; --skip-existing goes on from there."
      ) from error
    return row

  def _note_down(self, row: table.Row) -> None:
    self._rows[row.file] = row
    if self._command.json:
      print(table.line(row), end="", flush=True)

  def _fail(self, file: str, text: str) -> None:
    tqdm.tqdm.write(text, file=sys.stderr)
    self._failed += 1
    weights, digests = self._command.weights, list(self._digests)
    self._note_down(
      table.Row(file=file, weights=weights, sha256=digests, error=text)
    )

  def _write_table(self) -> None:
    if self._command.table is None:
      return
    last = len(self._plan.every)
    places = {str(path): place for path, place in self._positions.items()}
    rows = sorted(
      self._rows.values(), key=lambda row: places.get(row.file, last)
    )
    try:
      table.write(self._command.table, rows)
    except OSError as error:
      raise errors.UserError(
        f"--table={self._command.table}: {error.strerror or error}."
      ) from error

  def _conclude(self) -> None:
    """Says what came of it, and what it is not."""
    counts = {
      "done": self._done,
      "failed": self._failed,
      "skipped": len(self._plan.every) - len(self._plan.jobs),
    }
    if self._command.json:
      print(
        json.dumps({"summary": {**counts, "about": names.CAUTION}}), flush=True
      )
    ignored = self._plan.listing.num_ignored
    if ignored:
      self._say(f"note: {ignored} other file{'s' * (ignored > 1)} ignored")
    for note, count in sorted(self._notes.items()):
      self._say(f"note: {count} image{'s' * (count > 1)}: {note}")
    if known := [row for row in self._rows.values() if row.truth is not None]:
      right = sum(row.label == row.truth for row in known)
      self._say(
        f"{right:,} of {len(known):,} labels are as their folder is called "
        f"({right / len(known):.1%})"
      )
    network, in_files = self._seconds["network"], self._seconds["files"]
    self._say(
      f"network {network:.1f} s with compiling "
      f"({self._done / max(network, 1e-9):.0f} img/s), files {in_files:.1f} s"
    )
    self._say(names.CAUTION)
    skipped = f", {counts['skipped']} skipped" * bool(counts["skipped"])
    self._say(
      f"{self._done} done, {self._failed} failed{skipped}: {self._command.out}"
    )

  def _say(self, text: str) -> None:
    if not self._command.quiet:
      tqdm.tqdm.write(text, file=sys.stderr)

  @contextlib.contextmanager
  def _timed(self, name: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
      yield
    finally:
      self._seconds[name] += time.perf_counter() - start

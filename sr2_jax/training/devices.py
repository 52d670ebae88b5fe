"""The devices of a run, and the config with what depends on them."""

from collections.abc import Mapping
from typing import Any

import jax

from sr2_jax import messages, parallel
from sr2_jax.config import derived
from sr2_jax.training import layout as layout_lib


def spread(
  config: Any, recorded: Mapping[str, Any] | None = None
) -> tuple[Any, parallel.Layout]:
  """The config with what depends on the devices here, and the layout.

  If `augmentation.max_shift` is open, the shift of an earlier start is kept.

  Args:
    config: resolved.
    recorded: groups of fields of an earlier start; None at the first.
  """
  config = derived.with_shift(config, recorded and recorded["augmentation"])
  found = jax.devices()
  choice = layout_lib.of_config(
    config,
    devices=len(found),
    hosts=parallel.num_processes(),
    platform=found[0].platform,
    recorded=recorded and recorded["parallel"],
  )
  if len(found) > 1:
    messages.say(choice.line)
  layout = parallel.layout(choice.layout, choice.num_devices)
  return choice.resolve(config), layout

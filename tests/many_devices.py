"""Three members train on 1 to 8 virtual devices, as they do on one.

Exits with an error if they do not. `tests.training.test_steps` runs it, because
the other tests have four devices.
"""

import jax

from sr2_jax import cpu_tuning

cpu_tuning.convolve_without_ynnpack()  # As sr2_jax.main does.
jax.config.update("jax_num_cpu_devices", 8)

import numpy as np  # noqa: E402

from sr2_jax import parallel  # noqa: E402
from sr2_jax.training import layout as layout_lib  # noqa: E402
from sr2_jax.training import population  # noqa: E402
from tests.training import test_steps  # noqa: E402


def main():
  members = population.expand((3, 4, 5), (test_steps.L2,), (None,))
  optimizer = test_steps.make_optimizer(**test_steps.RATES["none"])
  model = test_steps.make_model("none")
  state = test_steps.make_state(model, optimizer, members.seeds)
  data = test_steps.make_data()
  found = {}
  for num_devices in (1, 2, 3, 8):
    choice = layout_lib.choose(
      (members.size,),
      batch_size=test_steps.BATCH,
      devices=8,
      platform="cpu",
      num_devices=num_devices,
    )
    layout = parallel.layout(choice.layout, choice.num_devices)
    assert len(layout.devices) == num_devices
    with test_steps.without_optimizing():
      found[num_devices] = test_steps.train_in_float64(
        layout.of(members.size),
        members,
        state,
        data,
        calls=(1, 1),
        wiring="none",
      )
    test_steps.assert_close(
      found[num_devices], found[1], tolerance=test_steps.ROUNDING
    )
    print(choice.line, flush=True)
  # With a member on each device, idle ones beside them change no bit.
  jax.tree.map(np.testing.assert_array_equal, found[8], found[3])


if __name__ == "__main__":
  main()

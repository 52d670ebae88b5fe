"""Settings that make a process fast on a CPU, made before JAX starts."""

import gc
import importlib.util
import os

from sr2_jax import environment, memory

# How many more objects than gone there are before Python looks for garbage, and
# how often it looks at older ones. Its defaults are 700, 10 and 10.
_GARBAGE = 50_000, 20, 50

_YNNPACK = "--xla_cpu_experimental_ynn_fusion_type"
_OWN_FLAG = f"{_YNNPACK}=-individual_convolution"


def prepare(*, with_devices: bool = True) -> None:
  """Applies all settings of this module to this process; starts JAX.

  Call it before anything else loads JAX, because XLA reads its flags then.
  Without it, results are correct but take longer.

  Args:
    with_devices: find the devices as well. Where there are several processes,
      they have to meet before.

  Raises:
    UserError: names the variables with which JAX does not start.
  """
  # Who has started this process may have set it.
  if os.environ.get("XLA_FLAGS") != _OWN_FLAG:
    environment.check_xla_flags()
  memory.keep_freed()
  look_for_garbage_rarely()
  convolve_without_ynnpack()
  with environment.blamed():
    run_in_calling_thread()
  if with_devices:
    find_devices()


def find_devices() -> None:
  """Starts JAX's devices.

  Raises:
    UserError: if $JAX_PLATFORMS, say, asks for devices that are not here.
  """
  import jax

  with environment.blamed():
    jax.devices()


def look_for_garbage_rarely() -> None:
  """Spares a run whose programs are compiled a tenth of its time.

  Tracing makes millions of objects that stay, and hardly any garbage that has
  to be looked for. By default Python does so after every 700 new objects.
  """
  gc.set_threshold(*_GARBAGE)


def run_in_calling_thread() -> None:
  """Runs programs on one CPU device in the thread that calls them.

  A program starts once its inputs are ready, and its operations still use all
  cores. Programs over several CPU devices run in other threads, where large
  workspaces are mapped again every time. Accelerators run asynchronously.
  """
  import jax

  jax.config.update("jax_cpu_enable_async_dispatch", False)


def convolve_without_ynnpack() -> None:
  """Makes XLA's CPU backend convolve with Eigen, which is up to twice as fast.

  A convolution of 64 channels on 28 px takes 15 ms instead of 27, its kernel
  gradient 26 instead of 98. YNNPACK keeps what it is better at: matrix products
  and sums. `python -m benchmarks.convolutions` times it, and `models.conv`
  chooses between forms that were timed with this setting.

  Flags that the user has set in $XLA_FLAGS stay, including this one.

  XLA aborts on an unknown flag. Every jaxlib in requirements.txt knows this
  one; libtpu reads the same variable and may not, so it is left unset where
  libtpu is installed.
  """
  if importlib.util.find_spec("libtpu"):
    return
  flags = os.environ.get("XLA_FLAGS", "").split()
  if flags and not flags[0].startswith("--"):
    return  # It is the name of a file with flags.
  if not any(flag.partition("=")[0] == _YNNPACK for flag in flags):
    flags.append(_OWN_FLAG)
    os.environ["XLA_FLAGS"] = " ".join(flags)

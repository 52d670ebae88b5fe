"""When and with what something was run, for records that are kept."""

import datetime
import importlib.metadata
import platform


def now():
  """The date and the system, as fields of a record."""
  return {
    "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    "system": (
      f"Python {platform.python_version()}, "
      f"JAX {importlib.metadata.version('jax')}, {platform.system()}"
    ),
  }

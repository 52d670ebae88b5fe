import importlib

import pytest

from sr2_jax import errors
from sr2_jax.buckets import address
from sr2_jax.buckets import store as store_lib


@pytest.mark.parametrize(
  ("url", "library", "extra"),
  [("gs://bucket/a", "gcsfs", "gcs"), ("s3://bucket/a", "s3fs", "s3")],
)
def test_without_its_library(monkeypatch, url, library, extra):
  found = importlib.import_module

  def fail(name):
    if name == library:
      raise ImportError(name)
    return found(name)

  monkeypatch.setattr(importlib, "import_module", fail)
  with pytest.raises(errors.UserError) as caught:
    store_lib.connect(address.parse(url, "x"))
  assert str(caught.value) == (
    f'{url} needs {library}: pip install "sr2_jax[{extra}]".'
  )

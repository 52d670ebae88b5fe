"""Several stores in memory, as the folders of one bucket, for tests."""

from sr2_jax.buckets import address as address_lib
from tests.buckets import memory


class Bucket:
  """The stores of all folders in a bucket; `connect` is `store.connect`."""

  def __init__(self):
    self.stores = {}
    self.faults = []

  def connect(self, address):
    store = self.stores.setdefault(address.key, _Folder())
    store.faults = self.faults
    store.folders = lambda: self.folders(address)
    return store

  def folders(self, address):
    start = f"{address.key}/"
    found = [
      key.removeprefix(start).partition("/")[0]
      for key, store in self.stores.items()
      if key.startswith(start) and store.objects
    ]
    own = [address_lib.MIRROR] if self.stores[address.key].objects else []
    return sorted({*found, *own})


class _Folder(memory.Memory):
  pass

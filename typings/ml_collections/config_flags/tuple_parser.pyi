from typing import Any

from absl import flags

class TupleParser(flags.ArgumentParser[Any]):
  def parse(self, argument: Any) -> Any: ...

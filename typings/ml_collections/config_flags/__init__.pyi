from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

def DEFINE_config_dict(
  name: str,
  config: ConfigDict,
  help_string: str = ...,
  flag_values: flags.FlagValues = ...,
  lock_config: bool = ...,
  accept_new_attributes: bool = ...,
  sys_argv: Sequence[str] | None = ...,
) -> flags.FlagHolder[ConfigDict]: ...
def register_flag_parser_for_type(
  field_type: type, parser: flags.ArgumentParser[object]
) -> type: ...

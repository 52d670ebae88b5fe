import collections

import pytest

from benchmarks.accelerators import programs


def test_names_are_unique_and_say_what_a_program_is():
  every = programs.everything()
  names = collections.Counter(program.name for program in every)
  assert set(names.values()) == {1}
  assert "v5e-4/members/fsrcnn_x4/loop/6/float32" in names
  assert "v5e-256/data/fsrcnn_x4/loop/1/float32/batch256" in names


def test_by_default_forty_programs_for_tpus():
  chosen = collections.Counter(x.platform for x in programs.select())
  assert 35 <= chosen["tpu"] <= 45
  assert 10 <= chosen["gpu"] <= 15
  assert len(programs.select(every=True)) == len(programs.everything())
  slices = {x.slice for x in programs.select()}
  assert slices == set(programs.SLICES)


def test_a_pattern_that_matches_nothing_is_named():
  with pytest.raises(ValueError, match="v7"):
    programs.select(["v7*"])


def test_members_are_spread_over_the_slice():
  [program] = programs.select(["v5e-4/members/fsrcnn_x4/loop/6/bfloat16"])
  config = program.config()
  assert config.num_seeds == 24
  assert config.model.dtype == "bfloat16"
  [program] = programs.select(["v5e-8/data/fsrcnn_x4/loop/6/float32"])
  assert program.config().num_seeds == 6


@pytest.mark.parametrize(
  ("name", "reason"),
  [
    ("data/fsrcnn_x4/loop/1/float32", "64 cannot be split over 256 devices"),
    ("data/fsrcnn_x4/loop/1/float32/batch256", ""),
    ("members/fsrcnn_x4/loop/1/float32", ""),
  ],
)
def test_says_why_a_batch_cannot_be_split(name, reason):
  [program] = programs.select([f"v5e-256/{name}"])
  why_not = programs.why_not(program)
  assert reason in why_not
  assert bool(reason) == bool(why_not)

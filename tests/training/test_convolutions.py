"""What a run takes for its convolutions, and what config.json tells of it."""

import json

import jax
import numpy as np
import pytest

from sr2_jax import errors, parallel
from sr2_jax.config import derived
from sr2_jax.models import conv_choice, conv_timing
from sr2_jax.peers import group
from sr2_jax.training import convolutions
from sr2_jax.training import network as network_lib
from tests import tiny

SHAPE = (28, 28, 1)


def config_of(**changes):
  config = tiny.get_config()
  config.convolutions = "measured"
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return derived.resolve(config)


def choose(config, path, recorded=None, layout=None):
  return convolutions.choose(
    config,
    path,
    layout or parallel.layout("data", 1),
    image_shape=SHAPE,
    num_classes=10,
    recorded=recorded,
  )


@pytest.fixture
def chosen(monkeypatch):
  """What measuring finds here: the first case in some other form."""
  found = []

  def measured(cases):
    case = cases[0]
    rules = conv_choice.by_rules(case)
    other = next(form for form in case.forms if form != rules)
    found.append(conv_choice.Choice(((case, other),)))
    return found[-1]

  monkeypatch.setattr(conv_timing, "choose", measured)
  return found


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"model__wiring": "sequential", "degradation__scale": 2},
    {"model__trunk": "wdsr", "joint__num_epochs": 0},
  ],
)
def test_cases_are_those_that_a_training_step_asks_about(changes, monkeypatch):
  config = config_of(**changes)
  asked = set()
  by_rules = conv_choice.by_rules

  def recording(case):
    asked.add(case)
    return by_rules(case)

  cases = convolutions.cases_of(
    config, image_shape=SHAPE, num_classes=10, batch_size=3
  )
  monkeypatch.setattr(conv_choice, "by_rules", recording)
  phase = derived.phases(config)[-1]
  network = network_lib.build(config, SHAPE, 10, phase=phase, platform="cpu")
  low_res = jax.ShapeDtypeStruct((3, *network.low_res_shape), np.float32)
  variables = jax.eval_shape(network.init, jax.ShapeDtypeStruct((), np.uint32))

  def loss(variables, low_res):
    outputs = network.apply(variables, low_res, np.float32(0))
    return sum(x.sum() for x in outputs.values())

  asked.clear()  # Initialization has a batch of one.
  jax.eval_shape(jax.grad(loss, argnums=(0, 1)), variables, low_res)
  assert cases.keys() == asked
  assert min(cases.values()) >= 1


def test_the_rules_need_no_measuring(tmp_path, chosen):
  config = config_of(convolutions="rules")
  assert choose(config, tmp_path) == conv_choice.RULES
  assert not chosen


def test_only_float32_on_the_cpu_is_measured(tmp_path, chosen):
  class Tpu(parallel.Layout):
    platform = "tpu"

  devices = parallel.layout("data", 1).devices
  tpu = choose(config_of(), tmp_path, layout=Tpu("data", devices))
  assert tpu == choose(config_of(model__dtype="bfloat16"), tmp_path)
  assert tpu == conv_choice.RULES
  assert not chosen


def test_the_first_start_measures_and_later_ones_read(tmp_path, chosen, capsys):
  first = choose(config_of(), tmp_path)
  assert chosen == [first]
  [(case, _)] = first.of_cases
  assert case.images == 8
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 2
  assert lines[0] == "timing the convolutions of a training step"
  assert lines[1].endswith(" s: 1 is faster in another form than the rules'")
  recorded = json.loads(json.dumps({convolutions.RECORD: first.as_texts()}))
  assert choose(config_of(), tmp_path, recorded) == first
  assert chosen == [first]
  assert not capsys.readouterr().err


@pytest.mark.parametrize(
  ("recorded", "problem"),
  [
    ({}, "it is missing"),
    ({"convolutions": None}, ""),
    ({"convolutions": ["rows"]}, ""),
    ({"convolutions": {"a 3x3 one": "rows"}}, '"a 3x3 one" is no convolution'),
    (
      {
        "convolutions": {
          "result of 8 x 7x7 x 56, kernel 9x9 x 16, strides 1x1, "
          "padding 4+4 and 4+4": "fft"
        }
      },
      '"fft" is no form for the result of 8 x 7x7 x 56',
    ),
  ],
)
def test_a_damaged_choice_is_a_message(tmp_path, recorded, problem):
  with pytest.raises(errors.UserError) as caught:
    choose(config_of(), tmp_path, recorded)
  first, second = str(caught.value).splitlines()
  assert first.startswith(
    f"{tmp_path / 'config.json'}: convolutions is damaged ({problem}"
  )
  assert second == "Restore it from a copy, or give another --workdir."


def test_other_processes_take_the_choice_of_the_first(
  tmp_path, chosen, monkeypatch
):
  mine = choose(config_of(), tmp_path)
  told = []

  class Second(group.Alone):
    count, index = 2, 1

    def consult(self, topic, value, answer):
      told.append(value)
      return json.loads(json.dumps(mine.as_texts()))

  monkeypatch.setattr(group, "_current", Second())
  monkeypatch.setattr(parallel, "is_main_process", lambda: False)
  assert choose(config_of(), tmp_path) == mine
  assert told == [None]
  assert len(chosen) == 1

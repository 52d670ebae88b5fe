"""Who has diverged, and what is said of it; nothing is trained."""

import dataclasses

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import divergence as records
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import divergence, population
from tests.peers import children


@dataclasses.dataclass
class Phase:
  """What the bookkeeping needs of a phase."""

  name: str
  population: population.Population


PRETRAIN = Phase("pretrain", population.expand((0, 1), (0.1,), (None,)))
JOINT = Phase("joint", population.expand((0, 1), (0.1,), (9.0, 0.5)))


def end(phase, step, seed, loss_weight=None, l2=0.1):
  member = rows_lib.Member(seed=seed, l2=l2, loss_weight=loss_weight)
  return records.Divergence(phase=phase, step=step, member=member)


def test_a_member_ends_once_and_so_does_what_starts_from_it(capsys):
  found = divergence.Divergences()
  assert found.alive(PRETRAIN).tolist() == [True, True]
  found.add(PRETRAIN, 3, np.array([True, True]))
  assert capsys.readouterr().err == ""
  found.add(PRETRAIN, 4, np.array([True, False]))
  found.add(PRETRAIN, 5, np.array([True, False]))
  assert capsys.readouterr().err == (
    "diverged: seed 1, L2 0.1: step 4 of pretrain\n"
  )
  assert found.of(PRETRAIN) == [end("pretrain", 4, 1)]
  assert found.alive(JOINT).tolist() == [True, True, False, False]
  found.add(JOINT, 2, np.array([False, True, False, False]))
  assert found.of(JOINT) == [
    end("joint", 2, 0, 9.0),
    end("pretrain", 4, 1, 9.0),
    end("pretrain", 4, 1, 0.5),
  ]
  assert found.alive(PRETRAIN).tolist() == [True, False]
  assert (found.last_step(PRETRAIN), found.last_step(JOINT)) == (4, 2)
  assert found.lines_of_done(JOINT).count(b"diverged_at") == 3


def test_the_end_names_every_member():
  found = divergence.Divergences([end("pretrain", 4, 1)])
  found.check_any_alive(JOINT)
  with pytest.raises(errors.DivergedError) as caught:
    found.check_all_alive(JOINT)
  heading, *lines = str(caught.value).splitlines()
  assert heading.startswith("finished, but 2 of 4 members diverged")
  assert lines == [
    "  seed 1, L2 0.1, λ 9: step 4 of pretrain",
    "  seed 1, L2 0.1, λ 0.5: step 4 of pretrain",
  ]
  divergence.Divergences().check_all_alive(JOINT)


def test_a_phase_without_members_ends():
  ends = [end("pretrain", 4, seed) for seed in (0, 1)]
  with pytest.raises(errors.DivergedError, match="all members of joint"):
    divergence.Divergences(ends).check_any_alive(JOINT)


def test_a_run_stops_at_once_where_it_is_asked_to():
  found = divergence.Divergences(stop_at_once=True)
  found.add(PRETRAIN, 3, np.array([True, True]))
  with pytest.raises(errors.DivergedError, match=r"seed 1, L2 0\.1: step 4"):
    found.add(PRETRAIN, 4, np.array([True, False]))
  with pytest.raises(errors.DivergedError, match="stop_on_divergence=false"):
    divergence.Divergences([end("pretrain", 4, 1)], stop_at_once=True)


def test_a_long_list_is_cut():
  phase = Phase("pretrain", population.expand(range(30), (0.1,), (None,)))
  found = divergence.Divergences(end("pretrain", 4, x) for x in range(29))
  with pytest.raises(errors.DivergedError) as caught:
    found.check_all_alive(phase)
  lines = str(caught.value).splitlines()
  assert len(lines) == 22
  assert lines[-1] == "  and 9 more, listed in metrics.jsonl"


def test_weights_count_where_all_are_finite(capsys):
  weights = {"w": np.ones((4, 2)), "n": np.ones(4, np.int32)}
  found = divergence.Divergences([end("joint", 2, 0, 9.0)])
  assert found.usable(JOINT, "last", weights) == (1, 2, 3)
  weights["w"][:3] = np.nan
  assert capsys.readouterr().err == ""
  assert found.usable(JOINT, "last", weights) == (3,)
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 2
  assert "the last weights of seed 0, L2 0.1, λ 0.5 after joint" in lines[0]
  weights["w"][3, 1] = np.inf
  with pytest.raises(errors.DivergedError, match="no last weights"):
    found.usable(JOINT, "last", weights)


@pytest.mark.parametrize(("l2s", "own"), [((0.1,), 2), ((0.1, 0.3), 1)])
def test_members_of_another_runs_pretraining(tmp_path, l2s, own):
  """One with a single L2 starts members of any L2."""
  pretrained = population.expand((0, 1), l2s, (None,))
  phase = Phase("joint", population.expand((1, 2), (0.1, 0.3), (9.0, 0.5)))
  phase.population = population.Population(
    *(values[:4] for values in vars(phase.population).values())
  )
  (tmp_path / "metrics.jsonl").write_text(
    '{"phase": "pretrain", "seed": 1, "l2": 0.1, "loss_weight": null, '
    '"diverged_at": 4}\n'
    '{"phase": "joint", "seed": 1, "l2": 0.1, "loss_weight": 9.0, '
    '"diverged_at": 5}\n'
  )
  found = divergence.of_pretraining(tmp_path, pretrained, phase)
  assert found == [end("pretrain", 4, 1, l2=l2) for l2 in (0.1, 0.3)[:own]]


def test_all_processes_have_those_of_process_0(tmp_path):
  """One that sees no file yet would train on with a member that is dead."""
  line = (
    '{"phase": "pretrain", "seed": 1, "l2": 0.1, "loss_weight": null, '
    '"diverged_at": 4}\n'
  )
  (tmp_path / "0").mkdir()
  for name in ("metrics.jsonl", "DONE"):
    (tmp_path / "0" / name).write_text(line)
  codes, texts = children.ended(
    *[f"""
import pathlib
from sr2_jax.training import divergence
folder = pathlib.Path({str(tmp_path)!r}, str(index))
[found] = divergence.on_record(folder)
try:
  divergence.check_done(folder)
except errors.DivergedError as error:
  assert str(found) in str(error)
  processes.leave(3, str(found), together=True)
"""] * 2
  )  # fmt: skip
  assert codes == [3, 3], texts
  assert texts == ["seed 1, L2 0.1: step 4 of pretrain\n"] * 2


def test_a_finished_run_names_them_again(tmp_path):
  divergence.check_done(tmp_path)
  found = divergence.Divergences([end("pretrain", 4, 1)])
  (tmp_path / "DONE").write_bytes(found.lines_of_done(PRETRAIN))
  with pytest.raises(errors.DivergedError, match=r"seed 1, L2 0\.1: step 4"):
    divergence.check_done(tmp_path)

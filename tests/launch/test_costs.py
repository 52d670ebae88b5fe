"""Chip-hours and money, by hand."""

import datetime
import pathlib

import pytest

from launch import attempts, costs, estimate, status
from launch import jobs as jobs_lib
from tests.launch import test_jobs, test_status

ROOT = pathlib.Path(__file__).parents[2]
NOON = datetime.datetime(2026, 11, 29, 12, tzinfo=datetime.UTC)


def test_to_go():
  needs = [costs.Need(1800.0), costs.Need(900.0, is_guess=True)]
  found = costs.to_go([*needs, costs.Need(0.0, is_guess=True)], 8)
  assert found == costs.ToGo(4.0, 2.0, num_guessed=1, num_unknown=0)
  assert found.in_words() == (
    "6.0 chip-hours to go (2.0 of them as the TPU compiler estimates the steps "
    "alone, for 1 run)"
  )
  assert costs.to_go(needs[:1], 8).in_words(1.2) == (
    "4.0 chip-hours to go (4.80 at 1.20 per chip-hour)"
  )
  assert costs.to_go(needs[1:], 8).in_words() == (
    "2.0 chip-hours to go (as the TPU compiler estimates the steps alone, for "
    "1 run)"
  )
  none = costs.to_go([costs.Need(None)] * 2, 8)
  assert none.in_words(1.2) == (
    "chip-hours to go unknown for 2 runs before the first steps"
  )
  assert costs.to_go([], 8).in_words(1.2) == "0.0 chip-hours to go"


@pytest.mark.parametrize(
  ("price", "words"),
  [
    (1.2, "2,400.00 at 1.20 per chip-hour"),
    (3.0, "6,000.00 at 3.00 per chip-hour"),
    (0.0125, "25.00 at 0.0125 per chip-hour"),
  ],
)
def test_money_has_no_currency(price, words):
  assert costs.money(2000.0, price) == words


@pytest.mark.parametrize(
  ("hours", "words"),
  [(0.0, "0.0"), (0.016, "0.02"), (11.24, "11.2"), (1234.5, "1,234")],
)
def test_amount(hours, words):
  assert costs.amount(hours) == words


def test_what_a_run_that_goes_on_has_used():
  tally = attempts.Tally(chip_seconds=7200.0)
  assert costs.used(tally, is_running=True, now=NOON) == 2.0
  tally.started(chips=8, began=NOON - datetime.timedelta(minutes=30))
  assert costs.used(tally, is_running=False, now=NOON) == 2.0
  assert costs.used(tally, is_running=True, now=NOON) == 6.0
  early = NOON - datetime.timedelta(hours=1)  # a clock that is behind
  assert costs.used(tally, is_running=True, now=early) == 2.0


def test_a_start_whose_sweep_was_killed_does_not_go_on(tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  jobs = jobs_lib.load(test_jobs.PAIR, tmp_path)
  began = NOON - datetime.timedelta(hours=1)
  tally = attempts.Tally(chip_seconds=3600.0)
  tally.started(chips=8, began=began)
  test_status.begin(jobs[0])

  def total():
    return costs.total_used(jobs, {"first": tally}, now=NOON)

  assert total() == 1.0
  with jobs[0].folder.claim():
    assert total() == 9.0
  speeds = estimate.Speeds(tmp_path / "speeds.json")
  speeds.add(status.parts(jobs[0])[0].kind, 90.0, 1.0)
  assert [n.seconds for n in costs.needs(jobs, speeds)] == [3600.0, 1440.0]

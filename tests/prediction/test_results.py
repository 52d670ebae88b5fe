import numpy as np

from sr2_jax.prediction import results


def test_members_vote_with_their_probabilities():
  of_members = np.array(
    [
      [[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]],
      [[0.2, 0.8], [0.3, 0.7], [0.4, 0.6]],
    ],
    np.float32,
  )
  probabilities, labels, agree = results.summary(of_members)
  np.testing.assert_allclose(
    probabilities, [[1.7 / 3, 1.3 / 3], [0.3, 0.7]], rtol=1e-6
  )
  assert labels.tolist() == [0, 1]
  # Two of three choose another label than the mean of all.
  assert agree.tolist() == [1, 3]


def test_without_a_classifier_there_is_nothing_to_sum_up():
  assert results.summary(None) == (None, None, None)

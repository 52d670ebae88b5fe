"""Table 1: mean SSIM on MNIST at noise variance 1e-4, x2 and x4.

  python -m launch.sweep --sweep=experiments/table1.py:cpu --workdir=runs/paper

The paper's numbers, over three trainings (SRMD: the released network):
            x2     x4
  SRMD      0.917  0.803
  FSRCNN    0.944  0.796
  WDSR      0.950  0.768
  SR2_FSRCNN  0.942  0.828
  SR2_WDSR    0.959  0.801
by an SSIM that it does not name: the authors' code computes
`ssim_uniform7_range2`, SRMD's numbers fit `ssim_uniform7` better. FSRCNN and
WDSR are the runs of SR2 after `pretrain`. Two things are not in the paper: the
controls `sr_continued`, whose second phase has no classifier, and SRMD
retrained on the digits. To evaluate the released SRMD as well:
  --set eval.srmd.weights=package --set eval.srmd.pca=srmd_pca_matlab.mat

Time, budget cpu, on two cores that had other work as well, before training
steps became faster: FSRCNN at x4 46 min, its control 5 min; at x2 36 min
without `pretrain`, its control 4 min; the control of WDSR at x2 15 min. WDSR
was paused too often to be timed. Retrained SRMD has not been run.
"""

from experiments import runs


def sweep(budget: str = "paper") -> list[runs.Run]:
  """Baselines, SR2 and controls of both trunks, and retrained SRMD."""
  return runs.merge(
    [
      make(budget, "mnist", trunk, scale)
      for scale in (4, 2)
      for trunk in ("fsrcnn", "wdsr")
      for make in (runs.sr2, runs.continued)
    ],
    [runs.srmd_retrained(budget, scale) for scale in (4, 2)],
  )

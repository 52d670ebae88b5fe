"""Files for Kubernetes, read back by what reads them."""

import dataclasses
import re
import shlex

import yaml

from launch import attempts, emit, kubernetes, options, sweep
from sr2_jax import errors
from tests.launch import test_emit


def test_jobsets_have_every_run_and_its_arguments():
  jobs = test_emit.paper()
  documents = list(
    yaml.safe_load_all(emit.emit("jobset", jobs, test_emit.target("jobset")))
  )
  assert len(documents) == len(jobs) == 18
  names = [document["metadata"]["name"] for document in documents]
  assert len(set(names)) == len(names)
  for document, job in zip(documents, jobs, strict=True):
    assert document["metadata"]["annotations"] == {
      "alpha.jobset.sigs.k8s.io/exclusive-topology": (
        "cloud.google.com/gke-nodepool"
      )
    }
    labels = document["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "tpus"
    assert labels["sr2-jax/wave"] == ("1" if job.source is None else "2")
    [replicated] = document["spec"]["replicatedJobs"]
    spec = replicated["template"]["spec"]
    assert spec["parallelism"] == spec["completions"] == 4
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    read = test_emit.same_as_the_job(container["command"], job)
    assert read.coordinator == "auto"
    assert container["resources"]["limits"] == {"google.com/tpu": 4}
    assert pod["nodeSelector"] == {
      "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
      "cloud.google.com/gke-tpu-topology": "4x4",
    }
    assert pod["terminationGracePeriodSeconds"] == 120
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "runs"
    assert container["volumeMounts"][0]["mountPath"] == "/mnt/shared"


def test_a_jobset_follows_the_table_of_exit_codes():
  text = emit.emit(
    "jobset", test_emit.paper(only=["*_fsrcnn_x4"]), test_emit.target("jobset")
  )
  document = next(yaml.safe_load_all(text))
  failure = document["spec"]["failurePolicy"]
  assert failure["maxRestarts"] == 5
  assert failure["rules"] == [
    {"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
  ]
  spec = document["spec"]["replicatedJobs"][0]["template"]["spec"]
  assert spec["backoffLimit"] == 0
  in_vain, preempted = spec["podFailurePolicy"]["rules"]
  assert in_vain["action"] == "FailJob"
  assert in_vain["onExitCodes"]["values"] == [errors.TO_FIX, errors.DIVERGED]
  assert preempted["action"] == "Ignore"


def test_a_rayjob_starts_the_same_sweep(capsys):
  """Its entry point is read by a shell, and then by the sweep."""
  arguments = [
    "--sweep=experiments/paper.py:smoke", "--workdir=/mnt/shared/my runs",
    "--accelerator=v5e", "--topology=4x4", "--slices=3", "--retries=7",
    "--price=1.25",
    "--set", "eval.clip=true", "--only", "*_wdsr_x2", "mnist5k_fsrcnn*",
  ]  # fmt: skip
  of_emit = ["--emit=rayjob", "--image=a:1", "--volume=runs:/mnt/shared"]
  assert sweep.main(["sweep", *of_emit, *arguments]) == 0
  document = yaml.safe_load(capsys.readouterr().out)
  spec = document["spec"]
  words = shlex.split(spec["entrypoint"])
  assert words[:3] == ["python", "-m", "launch.sweep"]
  engines = ("local", "ray")
  there = options.parse(words[3:], engines=engines)
  here = options.parse(["--dry-run", *arguments], engines=engines)
  assert there == dataclasses.replace(
    here, action="run", engine="ray", policy=attempts.Policy(7, 1800.0)
  )
  [group] = spec["rayClusterSpec"]["workerGroupSpecs"]
  assert (group["numOfHosts"], group["maxReplicas"]) == (4, 3)
  [worker] = group["template"]["spec"]["containers"]
  assert worker["resources"]["limits"] == {"google.com/tpu": 4}
  assert {"name": "RAY_worker_niceness", "value": "0"} in worker["env"]
  head = spec["rayClusterSpec"]["headGroupSpec"]
  assert head["rayStartParams"] == {"num-cpus": "0"}
  assert "resources" not in head["template"]["spec"]["containers"][0]


def test_a_node_with_gpus_is_one_process():
  text = emit.emit(
    "jobset",
    test_emit.paper(only=["*wdsr_x2"]),
    test_emit.target("jobset", test_emit.H100, queue=""),
  )
  document = next(yaml.safe_load_all(text))
  assert "kueue.x-k8s.io/queue-name" not in document["metadata"]["labels"]
  # Other runs may have the other GPUs.
  assert "annotations" not in document["metadata"]
  spec = document["spec"]["replicatedJobs"][0]["template"]["spec"]
  assert spec["completions"] == 1
  [container] = spec["template"]["spec"]["containers"]
  assert container["resources"]["limits"] == {"nvidia.com/gpu": 2}
  assert not [a for a in container["command"] if "coordinator" in a]


def test_names_of_kubernetes():
  names = ["a_b", "a-b", "A b", "_", "x" * 100, "x" * 99, "ä"]
  found = [kubernetes.dns_name(name) for name in names]
  assert len({*found[1:]}) == len(names) - 1
  for name in found:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 40
  assert kubernetes.dns_name("mnist_wdsr_x2") == "mnist-wdsr-x2"

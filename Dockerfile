# An image for `launch.sweep --emit=jobset` and the like. Nobody has built it yet.
#   docker build --build-arg EXTRA=tpu --tag REGISTRY/sr2_jax .
FROM python:3.12-slim
# What runs on: tpu or cuda. `launch` has Ray, for --emit=rayjob.
ARG EXTRA=tpu
WORKDIR /sr2_jax
COPY pyproject.toml requirements.txt README.md LICENSE ./
COPY sr2_jax sr2_jax
COPY experiments experiments
COPY launch launch
RUN pip install --no-cache-dir ".[${EXTRA},launch]"

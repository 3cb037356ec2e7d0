# syntax=docker/dockerfile:1
# Triton and the stages: model pods, workers, and the Jobs for weights and engines. One image for CPU and GPU.
#
#   docker build -f images/models.Dockerfile -t omnimatte-models:0.1.0 .
#   ... --build-arg TORCH_INDEX=<an index with wheels of another CUDA, or of none>
#
# NVIDIA's Triton image has Ubuntu 24.04 and Python 3.12 from release 24.10 on. Its digest: see orchestrator.Dockerfile.
ARG BASE=nvcr.io/nvidia/tritonserver:25.04-py3

FROM ${BASE} AS build
ARG TORCH_INDEX=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# Triton's Python backend looks for modules beside its own interpreter's: a folder on PYTHONPATH serves both.
COPY images/models.lock ./
RUN grep '^torch==' models.lock >torch.txt && grep -v '^torch==' models.lock >rest.txt \
    # torch alone brings what its own wheel needs of CUDA.
    && python3 -m pip install --target /opt/packages ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} -r torch.txt \
    && python3 -m pip install --target /opt/packages --upgrade --no-deps -r rest.txt
COPY pyproject.toml README.md ./
COPY services services
COPY orchestrator orchestrator
RUN python3 -m pip install --target /opt/packages --upgrade --no-deps . \
    && PYTHONPATH=/opt/packages python3 -c "import services.worker, torch, orchestrator.cli"

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="omnimatte-models" \
      org.opencontainers.image.description="Takes videos apart into layers: Triton and the stages" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/packages /opt/packages
COPY model_repository /opt/omnimatte/model_repository
# The chart's commands say `python`.
RUN ln -sf "$(command -v python3)" /usr/local/bin/python
ENV PYTHONPATH=/opt/packages:/opt/omnimatte PATH=/opt/packages/bin:$PATH PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 HOME=/scratch TMPDIR=/scratch HF_HUB_OFFLINE=1
WORKDIR /opt/omnimatte
USER 10001:10001
EXPOSE 8000 8001 8002
# NVIDIA's own entry point prints a banner and checks drivers; a pod's command is whole without it.
ENTRYPOINT []
CMD ["tritonserver", "--model-repository=/opt/omnimatte/model_repository", "--model-control-mode=explicit"]

# syntax=docker/dockerfile:1
# The orchestrator: no torch, no codecs, no shell needed at run time. About 500 MB, of which the Kubernetes client is 130.
#
#   docker build -f images/orchestrator.Dockerfile -t omnimatte-orchestrator:0.1.0 .
#
# The base is given by digest where one is known: the release resolves the tag, builds by the digest, and writes it into
# the release's notes (.github/workflows/release.yml). BASE=python:3.12-slim-bookworm@sha256:... does the same by hand.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=0
WORKDIR /build
RUN python -m venv /opt/venv
COPY images/orchestrator.lock ./
RUN /opt/venv/bin/pip install --no-deps -r orchestrator.lock
COPY pyproject.toml README.md ./
COPY services services
COPY orchestrator orchestrator
# Weights and engines are for the models' image.
RUN find services -name "*.safetensors" -o -name "*.onnx" | xargs -r rm \
    && /opt/venv/bin/pip install --no-deps . \
    && /opt/venv/bin/python -m compileall -q /opt/venv/lib \
    && /opt/venv/bin/omnimatte serve --help >/dev/null

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="omnimatte-orchestrator" \
      org.opencontainers.image.description="Takes videos apart into layers: the control plane" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/scratch TMPDIR=/scratch
WORKDIR /opt/omnimatte
# Nobody's: the chart mounts what may be written.
USER 10001:10001
EXPOSE 8000 8010 8020
ENTRYPOINT ["omnimatte"]
CMD ["serve", "--config", "/etc/omnimatte/serve.yaml"]

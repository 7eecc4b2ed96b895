# One image for the probe, the agent, the controller and the command line.
#   docker build -t vm-preflight:0.1.0 .        (or: buildah bud -t vm-preflight:0.1.0 .)
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# pip and the build back-end stay here; the second environment is what runs
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/vm-preflight
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /src
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN /opt/build/bin/pip --python /opt/vm-preflight/bin/python install --require-hashes -r requirements/runtime.txt \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY agent agent
COPY checks checks
COPY cli cli
COPY cluster cluster
COPY controller controller
COPY daemon daemon
COPY linux linux
COPY preflight preflight
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/build/bin/pip --python /opt/vm-preflight/bin/python install --no-deps --no-index /wheels/*.whl \
 # by content, not by time: the compiled files are the same in every build
 && /opt/vm-preflight/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/vm-preflight/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="vm-preflight" \
      org.opencontainers.image.description="Tells which nodes of a Kubernetes cluster can run a virtual machine" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/vm-preflight /opt/vm-preflight
ENV PATH=/opt/vm-preflight/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# nobody's rights by default; daemonset.yaml gives more to the probe's container alone
USER 65532:65532
ENTRYPOINT ["/opt/vm-preflight/bin/vm-preflight"]
CMD ["--help"]

# One image for the probe, the agent, the controller and the command line.
#   make image                                       (buildah; without a registry too: docs/image.md)
#   docker build -t REGISTRY/vm-preflight:0.1.0 .
# BASE builds: it needs Python with venv, and a shell. RUNTIME is what runs: the same Python at the same path is enough.
ARG BASE=docker.io/library/python:3.11-slim
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
# pip and the build back-end stay here; the second environment is what runs
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/vm-preflight
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/runtime.txt requirements/build.txt requirements/
# The secrets are optional: a pip.conf, and the authorities of a network that re-signs what comes in.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    /opt/build/bin/pip --python /opt/vm-preflight/bin/python install --no-compile \
      --require-hashes -r requirements/runtime.txt \
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
 && /opt/build/bin/pip --python /opt/vm-preflight/bin/python install --no-compile --no-deps --no-index /wheels/*.whl
# Of the kubernetes package only what reads a kubeconfig is used: its classes for each API and kind, and its
# asyncio twin with what that alone needs, would be 128 MB more.
RUN cd /opt/vm-preflight/lib/python3*/site-packages \
 && /opt/build/bin/pip --python /opt/vm-preflight/bin/python uninstall --quiet --yes \
      aiohttp aiohttp-retry aiohappyeyeballs aiosignal attrs frozenlist multidict propcache yarl \
 && rm -rf kubernetes/aio kubernetes/client/api/*_api.py kubernetes/client/models/[!_]*.py \
 && rm -f /opt/vm-preflight/bin/[!pv]* /opt/vm-preflight/bin/*.py \
 # by content, not by time: the compiled files are the same in every build
 && PYTHONHASHSEED=0 /opt/vm-preflight/bin/python -m compileall -q --invalidation-mode unchecked-hash .

FROM ${RUNTIME}
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

# The server in a container: docs/operations.md#containers. Targets: production (the last, and so the default),
# baked (with the models in it), gpu (with PyTorch, for the faces that use it), dev.
ARG PYTHON=3.12

# -- packages, in a virtual environment that is copied as a whole ------------------------------------------
FROM python:${PYTHON}-slim-bookworm AS build
ARG EXTRAS=otel,redis,webrtc
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/visavis
ENV PATH=/opt/visavis/bin:$PATH
WORKDIR /src
COPY requirements.txt requirements-dev.txt ./
# Extras have the versions that the tests have.
RUN pip install --require-hashes -r requirements.txt \
    && sed -E '/^ +--hash/d; s/ *\\$//' requirements-dev.txt > /tmp/constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-build-isolation -c /tmp/constraints.txt ".[${EXTRAS}]"

FROM build AS build-gpu
RUN pip install --no-build-isolation -c /tmp/constraints.txt ".[lam,liteavatar]"

# -- what runs -------------------------------------------------------------------------------------------------
FROM python:${PYTHON}-slim-bookworm AS runtime
# Debian's versions of these are those of its release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libespeak-ng1 libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /data visavis \
    && install -d -o visavis -g visavis /data /models
ENV PATH=/opt/visavis/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    SERVER_HOST=0.0.0.0 \
    VISAVIS_ENV=production \
    VISAVIS_MODELS=/models
USER 10001:10001
WORKDIR /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=5m --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('AVATAR_PORT', '8080')}/health\", timeout=4)"]
ENTRYPOINT ["visavis"]
CMD ["serve", "--no-open"]

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/visavis /opt/visavis

FROM runtime AS dev
ENV VISAVIS_ENV=development PYTHONPATH=/src/src
COPY --from=build /opt/visavis /opt/visavis
ENTRYPOINT ["watchfiles", "--filter", "python", "--sigint-timeout", "15", "visavis serve --no-open", "/src/src"]
CMD []

FROM runtime AS models
COPY --from=build /opt/visavis /opt/visavis
RUN ["visavis", "models", "pull"]

FROM runtime AS baked
COPY --from=build /opt/visavis /opt/visavis
COPY --from=models /models /models
ENV VISAVIS_OFFLINE=1

FROM runtime AS production
COPY --from=build /opt/visavis /opt/visavis

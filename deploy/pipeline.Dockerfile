# Dagster's code location, webserver and daemon, from the lock. The context is the repository:
#   docker build -f deploy/pipeline.Dockerfile -t intent-pipeline:<version> .
FROM python:3.11.13-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin intent \
    && install --directory --owner intent --group intent /var/lib/intent /etc/intent

COPY requirements.lock /opt/intent/
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --requirement /opt/intent/requirements.lock
COPY pyproject.toml README.md LICENSE /opt/intent/
COPY intent_tracking /opt/intent/intent_tracking
COPY dagster_project /opt/intent/dagster_project
COPY expectations /opt/intent/expectations
COPY features /opt/intent/features
# Packed into each new Bento, never imported here.
COPY bentos /opt/intent/bentos
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable /opt/intent
COPY deploy/workspace.yaml /opt/intent/workspace.yaml

ENV INTENT_HOME=/var/lib/intent \
    DAGSTER_HOME=/var/lib/intent/dagster \
    BENTOML_HOME=/var/lib/intent/bentoml \
    DAGSTER_DISABLE_TELEMETRY=1 \
    BENTOML_DO_NOT_TRACK=True \
    DO_NOT_TRACK=1 \
    HF_HUB_OFFLINE=1 \
    HOME=/tmp \
    OMP_WAIT_POLICY=passive \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /opt/intent
CMD ["dagster", "--version"]

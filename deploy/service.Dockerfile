# The intent service as its Bento says, and nothing else. The context `bento` is the folder of one Bento:
#   docker build -f deploy/service.Dockerfile --build-context bento=$INTENT_HOME/bentoml/bentos/intent_service/<version> \
#     -t intent-service:<version> deploy
FROM python:3.11.13-slim-bookworm

# Where torch comes from: the CPU build, or for a GPU https://download.pytorch.org/whl/cu126
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin intent \
    && install --directory --owner intent --group intent /var/lib/intent /etc/intent

COPY --from=bento env/python/requirements.txt /opt/intent/requirements.txt
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --requirement /opt/intent/requirements.txt
# The extras `scale` and `tracing`, for settings that name a Redis, a Kafka or a collector. The Bento does without them.
RUN pip install --no-cache-dir --constraint /opt/intent/requirements.txt \
    confluent-kafka==2.16.1 opentelemetry-exporter-otlp-proto-http==1.45.1 redis==7.4.1
COPY --from=bento . /opt/intent/bento

# Everything that is written lies in the volume or in /tmp: the root file system may be read-only.
ENV INTENT_HOME=/var/lib/intent \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    DO_NOT_TRACK=1 \
    HF_HUB_OFFLINE=1 \
    HOME=/tmp \
    OMP_WAIT_POLICY=passive \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /opt/intent/bento/src
EXPOSE 3000
STOPSIGNAL SIGTERM
CMD ["python", "-m", "bentoml", "serve", "/opt/intent/bento", "--host", "0.0.0.0", "--port", "3000"]

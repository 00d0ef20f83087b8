FROM python:3.11-slim

# "cuda" takes PyPI's build of torch, for a host with an NVIDIA GPU: docker run --gpus all
ARG TORCH_BUILD=cpu

# "rus ell ara" brings tesseract with these languages, for scripts that the shipped readers do not know.
ARG TESSERACT_LANGUAGES=""

WORKDIR /srv

# Debian keeps one version of a package in a release: none to pin.
# hadolint ignore=DL3008
RUN if [ -n "$TESSERACT_LANGUAGES" ]; then \
        apt-get update \
        && apt-get install --yes --no-install-recommends tesseract-ocr \
        && for language in $TESSERACT_LANGUAGES; do \
            apt-get install --yes --no-install-recommends "tesseract-ocr-$language" || exit 1; \
        done \
        && rm -rf /var/lib/apt/lists/*; \
    fi

# Before the code, so that a change to the code installs nothing again.
COPY requirements.txt requirements-tracing.txt requirements-scale.txt install.sh ./
RUN PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    sh install.sh python requirements.txt requirements-tracing.txt requirements-scale.txt

ENV HOST=0.0.0.0 \
    PORT=5000 \
    HF_HOME=/weights \
    NETWORK_CACHE=/weights/networks \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# The user writes to the two volumes and to /tmp only, so that the rest may be read-only (docker run --read-only --tmpfs
# /tmp); a new volume takes its owner from these folders.
RUN useradd --create-home --uid 1000 i2t \
    && install -d -o i2t -g i2t /weights /srv/images
VOLUME ["/weights", "/srv/images"]

COPY LICENSE run.py ./
COPY Input Input
COPY models models
COPY app app

# By number, so that Kubernetes can see that it is not root.
USER 1000
EXPOSE 5000
STOPSIGNAL SIGTERM

# No proxy: HTTP_PROXY may be set for the download of weights.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]

CMD ["python", "run.py"]

# One image for all nodes: `docker build -t appmsgsrv .`; compose.yaml starts a cluster of it.
#
# What is installed is what requirements.lock names, by hash. The build needs a package index: give pip's
# settings by --secret id=pip,src=pip.conf if it is not the default one. Nothing of it stays in the image.

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /usr/local/lib/appmsg
COPY requirements.lock .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /usr/local/lib/appmsg/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY . .
RUN /usr/local/lib/appmsg/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
COPY --from=build /usr/local/lib/appmsg /usr/local/lib/appmsg
COPY conf/cluster /etc/appmsg
ENV PATH=/usr/local/lib/appmsg/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    READY=http://127.0.0.1:8094/readyz
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/appmsg appmsg \
    && install -d -o appmsg -m 0700 /var/lib/appmsg/files
USER 10001
WORKDIR /var/lib/appmsg
STOPSIGNAL SIGTERM
# READY is the /readyz of the role: web 8094, comet 6972, message 8071.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['READY'], timeout=2)"]
ENTRYPOINT ["appmsg"]
CMD ["up"]

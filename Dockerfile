# Build: docker build -t holdfast .
# Run:   docker run -p 127.0.0.1:8080:8080 -v holdfast:/data holdfast
#        for a proxy with TLS on this machine; docs/tls.md has TLS without one, and proxies in containers.

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/holdfast
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY appliance appliance
COPY providers providers
COPY admin_ui admin_ui
COPY migrations migrations
RUN /opt/holdfast/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt . \
    && /opt/holdfast/bin/pip uninstall --yes pip setuptools

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/holdfast /opt/holdfast
RUN groupadd --system --gid 10001 holdfast \
    && useradd --system --uid 10001 --gid holdfast --home-dir /data --shell /usr/sbin/nologin holdfast \
    && install --directory --owner=holdfast --group=holdfast --mode=0700 /data
USER holdfast
WORKDIR /data
# Inside the container all addresses are listened on, without TLS unless it is set; who reaches that decides docker's -p.
ENV PATH=/opt/holdfast/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOLDFAST_DATA=/data \
    HOLDFAST_LISTEN=0.0.0.0:8080 \
    HOLDFAST_ALLOW_PLAIN_HTTP=true
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, ssl, urllib.request; urllib.request.urlopen(('https' if os.environ.get('HOLDFAST_TLS_CERTIFICATE') else 'http') + '://127.0.0.1:' + os.environ['HOLDFAST_LISTEN'].rpartition(':')[2] + '/healthz', timeout=4, context=ssl._create_unverified_context())"]
ENTRYPOINT ["holdfast"]
CMD ["serve"]

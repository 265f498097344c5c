# One image for every service of docker-compose.yml. Build tools stay in the first stage.

FROM python:3.11.14-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/overstory
# TRACES=1 adds OpenTelemetry (requirements/traces.txt is run.txt plus the extra)
ARG TRACES=0
# MCP=1 adds the SDK for /mcp of the API; its lock has the versions of the others, too.
ARG MCP=0
COPY requirements/run.txt requirements/traces.txt requirements/mcp.txt /build/requirements/
RUN /opt/overstory/bin/pip install --require-hashes \
      -r "/build/requirements/$([ "$TRACES" = 1 ] && echo traces || echo run).txt" \
    && if [ "$MCP" = 1 ]; then \
         /opt/overstory/bin/pip install --require-hashes -r /build/requirements/mcp.txt; fi
COPY . /app
RUN /opt/overstory/bin/pip install --no-deps --no-build-isolation \
      --config-settings editable_mode=compat --editable /app
# The system is read-only at run time. Without this, every start and health check would compile again.
RUN /opt/overstory/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM python:3.11.14-slim-trixie
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin overstory \
 && install -d -o overstory -g overstory -m 0700 /var/lib/overstory
COPY --from=build /opt/overstory /opt/overstory
COPY --from=build /app /app
ENV PATH=/opt/overstory/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    OVERSTORY_HOME=/var/lib/overstory
WORKDIR /app
USER overstory
VOLUME /var/lib/overstory
CMD ["overstory", "--help"]

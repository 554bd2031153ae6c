# The operator's image; it is also the init container of every model's pods. Build: docker build -t modelmeter .
FROM python:3.12-slim AS dependencies
RUN python -m venv /opt/modelmeter
WORKDIR /src
COPY requirements.image.lock .
RUN /opt/modelmeter/bin/pip install --no-cache-dir --require-hashes -r requirements.image.lock

FROM python:3.12-slim AS build
RUN python -m venv /opt/modelmeter && pip install --no-cache-dir hatchling==1.33.0
WORKDIR /src
COPY pyproject.toml README.md ./
COPY operator operator
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/modelmeter/bin/pip install --no-cache-dir --no-deps --prefix=/opt/package /wheels/*.whl

# What changes with each version is a small layer above a large one that stays.
FROM python:3.12-slim
COPY --from=dependencies /opt/modelmeter /opt/modelmeter
COPY --from=build /opt/package /opt/modelmeter
ENV PATH=/opt/modelmeter/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# As the chart and the models' pods run it: no root, no writable root filesystem.
USER 65532:65532
ENTRYPOINT ["modelmeter"]

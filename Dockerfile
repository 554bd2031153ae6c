# The operator's image; it is also the init container of every model's pods. Build: docker build -t modelmeter .
FROM python:3.12-slim AS build
RUN python -m venv /opt/modelmeter
WORKDIR /src
COPY requirements.image.lock .
RUN /opt/modelmeter/bin/pip install --no-cache-dir --require-hashes -r requirements.image.lock
COPY pyproject.toml README.md ./
COPY operator operator
RUN pip install --no-cache-dir hatchling==1.33.0 \
    && pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/modelmeter/bin/pip install --no-cache-dir --no-deps /wheels/*.whl \
    && /opt/modelmeter/bin/python -m compileall -q /opt/modelmeter

FROM python:3.12-slim
COPY --from=build /opt/modelmeter /opt/modelmeter
ENV PATH=/opt/modelmeter/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# As the chart and the models' pods run it: no root, no writable root filesystem.
USER 65532:65532
ENTRYPOINT ["modelmeter"]

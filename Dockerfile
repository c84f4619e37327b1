# The command `pipeline` with the embedded model and the evaluation, in an image of its own:
#
#     docker build -t nano-pipeline .
#     docker run --rm -v "$PWD:/work" -v nano-pipeline-state:/state -e OXEN_API_KEY nano-pipeline \
#         run tickets.yaml --set state.dir=/state/tickets
#
# /work is your folder with the config and the table. /state is a volume for the paid answers: a file system of Linux's own, which
# SQLite needs, even where /work comes from another system. docs/starting.md has more.

FROM python:3.13-slim AS build
WORKDIR /source
COPY .ci/constraints.txt pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
RUN python -m venv /opt/pipeline \
    && /opt/pipeline/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt ".[local,judge]"

FROM python:3.13-slim
COPY --from=build /opt/pipeline /opt/pipeline
# Folders that are mounted for the first time take their owner from here. There is no VOLUME: a run without -v would keep its paid
# answers in a volume without a name, which --rm deletes.
RUN useradd --uid 1000 --create-home pipeline \
    && install --directory --owner=pipeline --group=pipeline /work \
    && install --directory --owner=pipeline --group=pipeline --mode=700 /state
ENV PATH=/opt/pipeline/bin:$PATH
USER pipeline
WORKDIR /work
ENTRYPOINT ["pipeline"]
CMD ["--help"]

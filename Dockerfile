# The image of every Tidemark process: scheduler, worker, sandbox and migrate are verbs of one binary.
#
#   docker build --tag tidemark .
#
# The two Debian releases must match: the binary is linked against the builder's C library.
ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=bookworm

FROM rust:${RUST_VERSION}-slim-${DEBIAN_RELEASE} AS build
WORKDIR /src
# Everything that .dockerignore lets through: cargo needs the manifest of every member of the workspace, also of those it does not build.
COPY . .
# The caches belong to the builder and are in no layer; so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --package tidemark --bin tidemark --profile dist \
    && install -D target/dist/tidemark /out/tidemark \
    && install -d /out/data

FROM debian:${DEBIAN_RELEASE}-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/tidemark /usr/local/bin/tidemark
# A numeric user, so that Kubernetes can check runAsNonRoot. It may write to /data only: where a trial keeps its SQLite files.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
ENV TIDEMARK__LOG__FORMAT=json
EXPOSE 8624
# Asks the process's own database and queue, so it fits scheduler and worker alike; a one-shot such as migrate turns it off.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/tidemark", "status", "--ping"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tidemark"]
CMD ["up"]

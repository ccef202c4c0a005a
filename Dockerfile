# `make image` builds this without network: the build context holds the static
# program and an empty folder, both made by `make build`.
FROM scratch
ARG BINARY=dist/pushgateway
COPY ${BINARY} /bin/pushgateway
# Nothing can run in an empty image, so the data folder is copied rather than
# made. It belongs to the user below, and any other user can write to it.
COPY --chown=65534:65534 dist/rootfs /
WORKDIR /pushgateway
VOLUME /pushgateway/data
USER 65534:65534
EXPOSE 9091
HEALTHCHECK --interval=30s --timeout=5s CMD ["/bin/pushgateway", "healthcheck"]
ENTRYPOINT ["/bin/pushgateway"]

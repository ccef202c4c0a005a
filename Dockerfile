# `make image` builds this without network: the build context holds the static
# program and an empty folder, both made by `make build`.
FROM scratch
COPY dist/pushgateway /bin/pushgateway
# Nothing can run in an empty image, so the data folder is copied rather than
# made: it must belong to the user below.
COPY --chown=65534:65534 dist/data /pushgateway/data
WORKDIR /pushgateway
VOLUME /pushgateway/data
USER 65534:65534
EXPOSE 9091
ENTRYPOINT ["/bin/pushgateway"]

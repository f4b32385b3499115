# Image of the resource server: one static binary, no shell, not root.
#
#   docker build -f deploy/resourceserver.Dockerfile -t latchkey-resourceserver .
#
# Where base images cannot be pulled, build the binary outside and use the last
# stage alone, with the binary and the CA bundle in build/:
#
#   buildah build --target runtime --build-context build=dir ...
ARG GO_IMAGE=golang:1.26

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY pkg pkg
COPY deploy/dev deploy/dev
COPY resourceserver resourceserver
WORKDIR /src/resourceserver
ENV GOWORK=off CGO_ENABLED=0
RUN go build -trimpath -ldflags='-s -w' -o /out/server ./cmd/resourceserver \
 && cp /etc/ssl/certs/ca-certificates.crt /out/ca-certificates.crt

FROM scratch AS runtime
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY deploy/passwd /etc/passwd
COPY --chown=65532:65532 deploy/keys /keys
COPY --from=build /out/server /server
USER 65532:65532
ENV RS_LISTEN=0.0.0.0:8090
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=5s CMD ["/server", "healthcheck"]
ENTRYPOINT ["/server"]
CMD ["serve"]

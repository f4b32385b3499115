# Image of the authorization server: one static binary, no shell, not root.
#
#   docker build -f deploy/authserver.Dockerfile -t latchkey-authserver .
#
# Where base images cannot be pulled, build the binary outside and use the last
# stage alone, with the binary and the CA bundle in build/:
#
#   buildah build --target runtime --build-context build=dir ...
ARG GO_IMAGE=golang:1.26

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY pkg pkg
COPY migrations migrations
COPY deploy/dev deploy/dev
COPY authserver authserver
WORKDIR /src/authserver
ENV GOWORK=off CGO_ENABLED=0
RUN go build -trimpath -ldflags='-s -w' -o /out/server ./cmd/authserver \
 && cp /etc/ssl/certs/ca-certificates.crt /out/ca-certificates.crt

FROM scratch AS runtime
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY deploy/passwd /etc/passwd
COPY --chown=65532:65532 deploy/keys /keys
COPY --from=build /out/server /server
USER 65532:65532
ENV AS_LISTEN=0.0.0.0:8080 AS_INTERNAL_LISTEN=0.0.0.0:8081 AS_ADMIN_LISTEN=127.0.0.1:8082
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s CMD ["/server", "healthcheck"]
ENTRYPOINT ["/server"]
CMD ["serve"]

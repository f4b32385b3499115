# Image of the stand-in for Google, for local tries only; never deploy it.
#
#   docker build -f deploy/fakegoogle.Dockerfile -t latchkey-fakegoogle .
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
WORKDIR /src/deploy/dev
ENV GOWORK=off CGO_ENABLED=0
RUN go build -trimpath -ldflags='-s -w' -o /out/server ./cmd/fakegoogle \
 && cp /etc/ssl/certs/ca-certificates.crt /out/ca-certificates.crt

FROM scratch AS runtime
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY deploy/passwd /etc/passwd
COPY --from=build /out/server /server
USER 65532:65532
EXPOSE 8070
ENTRYPOINT ["/server"]

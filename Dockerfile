# The worker as an image with nothing in it but the static binary and the
# certificates it trusts. The image has git and sees .git (see .dockerignore), so
# that `worker version` names the commit.
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /worker ./cmd/worker
RUN install -d -m 700 /keys

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /worker /worker
# For worker keys, with a volume over it, which then belongs to the same user.
COPY --from=build --chown=65532:65532 /keys /keys
# A number, because there is no /etc/passwd; Kubernetes' runAsNonRoot wants one too.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/worker"]
CMD ["run"]

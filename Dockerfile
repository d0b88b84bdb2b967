# syntax=docker/dockerfile:1
#
#   docker build -t outrider .                          the relay and every other command
#   docker build -t outrider-examples --target examples .
#
# Runs as a user without a name or rights, on a read-only root, with no capability, and writes no file.
# `node` is process 1: `outrider relay` has signal handlers of its own, so no init is needed to stop it.

FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
# No script of a dependency is ever run; the build of our own is the next line but two.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build

FROM node:24-bookworm-slim AS dependencies
WORKDIR /dependencies
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim AS relay
LABEL org.opencontainers.image.title="outrider" \
      org.opencontainers.image.description="Transactional outbox relay for PostgreSQL and Kafka" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /app
ENV NODE_ENV=production
COPY --from=dependencies /dependencies/node_modules node_modules
COPY --from=build /build/dist dist
COPY package.json CHANGELOG.md LICENSE ./
COPY bin bin
COPY migrations migrations
# Owned by root and not writable for whoever runs it; a number, so that Kubernetes can see it is not root.
USER 65532:65532
ENTRYPOINT ["node", "--enable-source-maps", "bin/outrider.js"]
CMD ["relay"]

# The services of examples/, for docker-compose.yml: Node.js 24 runs their TypeScript as it is.
FROM relay AS examples
COPY examples/services examples/services
ENTRYPOINT ["node"]
CMD ["examples/services/orders.ts"]

# What `docker build` without a target makes.
FROM relay

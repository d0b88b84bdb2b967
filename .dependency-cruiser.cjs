/* The arrows of the house. `npm run lint` holds them. */
const room = (name) => `^src/${name}/`;

/** Which rooms each room may import besides itself. */
const arrows = {
  foundation: [],
  event: ["foundation"],
  enqueue: ["event", "foundation"],
  inbox: ["event", "foundation"],
  outbox: ["event", "foundation"],
  publisher: ["event", "foundation"],
  lease: ["outbox", "event", "foundation"],
  relay: ["outbox", "lease", "publisher", "event", "foundation"],
  audit: ["outbox", "publisher", "event", "foundation"],
  doctor: ["outbox", "publisher", "event", "foundation"],
  observability: ["relay", "event", "foundation"],
  environment: ["foundation"],
  service: ["doctor", "observability", "relay", "outbox", "lease", "publisher", "inbox", "event", "foundation"],
  cli: ["audit", "doctor", "publisher", "service", "environment", "observability", "relay", "enqueue", "outbox", "event", "foundation"],
};

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-orphans",
      severity: "error",
      comment: "A file nobody imports is dead.",
      from: { orphan: true, path: "^src/", pathNot: "^src/(index|migrations)\\.ts$" },
      to: {},
    },
    ...Object.entries(arrows).map(([name, allowed]) => ({
      name: `arrow-${name}`,
      severity: "error",
      comment: `${name} may import: ${allowed.join(", ") || "nothing"}`,
      from: { path: room(name) },
      to: { path: "^src/", pathNot: [name, ...allowed].map(room) },
    })),
    {
      name: "adapters-are-composed",
      severity: "error",
      comment: "A file named after a technology is imported by its own room and by service/compose.ts (and compose-delivery.ts, compose-doctor.ts) alone.",
      from: { path: "^src/", pathNot: "^src/(publisher|outbox|lease|doctor)/|^src/service/compose(-delivery|-doctor)?\\.ts$|^src/cli/" },
      // A type alone builds nothing.
      to: {
        path: "^src/publisher/(kafka|stdout)|^src/(outbox|lease|doctor)/postgres-|^src/doctor/kafka-",
        dependencyTypesNot: ["type-only"],
      },
    },
    {
      name: "only-publishers-acknowledge",
      severity: "error",
      comment: "An ack is proof: only a publisher, which saw the broker's answer, may make one.",
      from: { path: "^src/", pathNot: "^src/publisher/" },
      to: { path: "^src/event/acknowledgement\\.ts$" },
    },
    {
      name: "applications-pull-in-no-package",
      severity: "error",
      comment: "What an application imports must not bring any npm package with it.",
      from: { path: "^src/(index\\.ts$|enqueue/|inbox/|event/|foundation/)" },
      to: { dependencyTypes: ["npm", "npm-dev", "npm-peer", "npm-optional"], pathNot: "@opentelemetry/api" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "types", "node", "default"] },
  },
};

/** The settings of a small KRaft cluster: every node is broker and controller. */
export interface NodePorts {
  readonly internal: number;
  readonly controller: number;
  /** Where clients arrive that were sent to `advertised`, the port of a proxy in front of this node. */
  readonly external?: { readonly listen: number; readonly advertised: number };
}

/** A listener with security of its own; its keystore and login modules are given as properties. */
export interface NamedListener {
  /** Upper case, as Kafka wants it: "SECURE". */
  readonly name: string;
  readonly protocol: "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL";
  readonly port: number;
}

export interface NodeSettings {
  /** From 1. */
  readonly node: number;
  /** Of all nodes, in their order. */
  readonly ports: readonly NodePorts[];
  readonly logDirectory: string;
  /** Where the node listens and where clients find it; both 127.0.0.1 unless it runs in a container. */
  readonly bindHost?: string;
  readonly clientHost?: string;
  /** Further listeners, for clients on this machine; the first node has them. */
  readonly listeners?: readonly NamedListener[];
  /** Added last, so that it wins. */
  readonly own?: Readonly<Record<string, string>>;
}

export function kafkaProperties(settings: NodeSettings): Readonly<Record<string, string>> {
  const { ports, own = {} } = settings;
  const replicas = `${ports.length}`;
  const insync = ports.length > 2 ? "2" : "1";
  return {
    ...listeners(settings),
    "process.roles": "broker,controller",
    "node.id": `${settings.node}`,
    "controller.quorum.voters": ports.map((p, i) => `${i + 1}@127.0.0.1:${p.controller}`).join(","),
    "log.dirs": settings.logDirectory,
    "auto.create.topics.enable": "false",
    // Events keep their own, possibly old, timestamps: nothing may be deleted for its age.
    "log.retention.ms": "-1",
    "default.replication.factor": replicas,
    "min.insync.replicas": insync,
    "offsets.topic.replication.factor": replicas,
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": insync,
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": "1",
    // A consumer that joins alone need not wait three seconds for others.
    "group.initial.rebalance.delay.ms": "0",
    // A broker that is killed loses its partitions after this, not after nine seconds.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.index.size.max.bytes": "1048576",
    ...own,
  };
}

function listeners(settings: NodeSettings): Record<string, string> {
  const { node, ports, bindHost = "127.0.0.1", clientHost = "127.0.0.1" } = settings;
  const { internal, controller, external } = ports[node - 1] as NodePorts;
  const bound = [`INTERNAL://${bindHost}:${internal}`, `CONTROLLER://127.0.0.1:${controller}`];
  const advertised = [`INTERNAL://${clientHost}:${internal}`];
  if (external !== undefined) {
    bound.push(`EXTERNAL://${bindHost}:${external.listen}`);
    advertised.push(`EXTERNAL://127.0.0.1:${external.advertised}`);
  }
  const named = node === 1 ? (settings.listeners ?? []) : [];
  const own = named.map(({ name, port }) => `${name}://127.0.0.1:${port}`);
  const protocols = named.map(({ name, protocol }) => `,${name}:${protocol}`).join("");
  return {
    listeners: [...bound, ...own].join(","),
    "advertised.listeners": [...advertised, ...own].join(","),
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "INTERNAL",
    "listener.security.protocol.map": `INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT${protocols}`,
  };
}

/** As a file that Kafka reads. */
export function propertiesText(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value.replaceAll("\\", "\\\\")}\n`)
    .join("");
}

/** As the environment of the image apache/kafka, which turns it into such a file. */
export function propertiesEnv(properties: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [
      `KAFKA_${name.toUpperCase().replaceAll(".", "_")}`,
      value,
    ]),
  );
}

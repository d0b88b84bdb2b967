/** Repairs of topics and rights, as command lines of Kafka's own tools. */
import type { Settings } from "./settings.ts";

const serverOf = ({ kafka }: Settings): string =>
  `--bootstrap-server ${kafka?.brokers.join(",") ?? "HOST:PORT"}`;

export function createTopicCommand(
  settings: Settings,
  topic: string,
  partitions: number,
  replicas: number,
): string {
  return `kafka-topics.sh ${serverOf(settings)} --create --topic ${topic} --partitions ${partitions} --replication-factor ${replicas}`;
}

export function addPartitionsCommand(settings: Settings, topic: string, partitions: number): string {
  return `kafka-topics.sh ${serverOf(settings)} --alter --topic ${topic} --partitions ${partitions}`;
}

export function setTopicCommand(
  settings: Settings,
  topic: string,
  name: string,
  value: string | number,
): string {
  return `kafka-configs.sh ${serverOf(settings)} --alter --entity-type topics --entity-name ${topic} --add-config ${name}=${value}`;
}

/** `resource`: its flags. With mutual TLS the principal is the certificate's name, which only brokers know. */
export function aclCommand(settings: Settings, operations: readonly string[], resource: string): string {
  const user = settings.kafka?.username ?? (settings.kafka?.hasTls === true ? "CN=…" : "ANONYMOUS");
  return `kafka-acls.sh ${serverOf(settings)} --add --allow-principal User:${user} ${operations.map((operation) => `--operation ${operation}`).join(" ")} ${resource}`;
}

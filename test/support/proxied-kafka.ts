/** A Kafka of a test's own whose clients can only come through a proxy. Starting it takes seconds. */
import { type KafkaPart, startKafka } from "../../src/environment/environment.ts";
import { startProxy, type TcpProxy } from "./proxy.ts";

export interface ProxiedKafka {
  readonly proxy: TcpProxy;
  /** Through the proxy: bootstrap and all that follows. */
  readonly brokers: readonly string[];
  /** Past the proxy, for looking at what is really there. */
  readonly direct: readonly string[];
  readonly kafka: KafkaPart;
  stop(): Promise<void>;
}

export async function startProxiedKafka(
  properties: Readonly<Record<string, string>> = {},
): Promise<ProxiedKafka> {
  const proxy = await startProxy({ protocol: "kafka" });
  const kafka = await startKafka({ flavour: "own", advertisedPorts: [proxy.port], properties });
  proxy.leadTo(kafka.behindProxy[0] ?? "");
  const stop = async () => {
    await proxy.close();
    await kafka.stop();
  };
  return { proxy, brokers: [proxy.address], direct: kafka.brokers, kafka, stop };
}

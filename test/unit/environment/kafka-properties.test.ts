import { describe, expect, it } from "vitest";
import { kafkaProperties, propertiesEnv, propertiesText } from "../../../src/environment/kafka-properties.ts";

const one = { internal: 1001, controller: 1002 };

describe("a Kafka node", () => {
  it("listens on this machine only, and creates no topic by itself", () => {
    const properties = kafkaProperties({ node: 1, ports: [one], logDirectory: "/tmp/log" });
    expect(properties.listeners).toBe("INTERNAL://127.0.0.1:1001,CONTROLLER://127.0.0.1:1002");
    expect(properties["advertised.listeners"]).toBe("INTERNAL://127.0.0.1:1001");
    expect(properties["auto.create.topics.enable"]).toBe("false");
    expect(properties["transaction.state.log.replication.factor"]).toBe("1");
  });

  it("sends clients of the extra listener to the proxy, not to itself", () => {
    const external = { listen: 1003, advertised: 9000 };
    const properties = kafkaProperties({ node: 1, ports: [{ ...one, external }], logDirectory: "/tmp/log" });
    expect(properties.listeners).toContain("EXTERNAL://127.0.0.1:1003");
    expect(properties["advertised.listeners"]).toContain("EXTERNAL://127.0.0.1:9000");
  });

  it("is one of a quorum, replicated, when there are several", () => {
    const ports = [one, { internal: 2001, controller: 2002 }, { internal: 3001, controller: 3002 }];
    const properties = kafkaProperties({ node: 3, ports, logDirectory: "/tmp/log" });
    expect(properties["controller.quorum.voters"]).toBe("1@127.0.0.1:1002,2@127.0.0.1:2002,3@127.0.0.1:3002");
    expect(properties["node.id"]).toBe("3");
    expect(properties["min.insync.replicas"]).toBe("2");
  });

  it("takes the settings of its caller last", () => {
    const own = { "message.max.bytes": "2000", "num.io.threads": "1" };
    const properties = kafkaProperties({ node: 1, ports: [one], logDirectory: "/tmp/log", own });
    expect(properties).toMatchObject(own);
    expect(propertiesText(properties)).toContain("message.max.bytes=2000\n");
    expect(propertiesEnv(properties)).toMatchObject({ KAFKA_MESSAGE_MAX_BYTES: "2000", KAFKA_NODE_ID: "1" });
  });
});

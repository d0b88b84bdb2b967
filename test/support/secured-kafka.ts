/**
 * A Kafka that takes clients over TLS with SCRAM-SHA-512 and lets them do what an ACL allows, nothing
 * else. Beside the good listener it has one with an expired certificate and one with another host's.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AclEntry,
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  Kafka,
  logLevel,
  ResourcePatternTypes,
} from "kafkajs";
import { startKafka } from "../../src/environment/environment.ts";
import { freePort } from "../../src/environment/free-port.ts";
import { makeAuthority } from "./certificates.ts";

export const kafkaPasswordCanary = "p4ssw0rd-canary-of-kafka";
const user = "relay";

/** What a relay may do, as Kafka's own tools write it: `write topic orders`. A trailing `*` is a prefix. */
export type Right = `${keyof typeof operations} ${keyof typeof resources} ${string}`;

const operations = {
  write: AclOperationTypes.WRITE,
  read: AclOperationTypes.READ,
  describe: AclOperationTypes.DESCRIBE,
  create: AclOperationTypes.CREATE,
} as const;
const resources = {
  topic: AclResourceTypes.TOPIC,
  group: AclResourceTypes.GROUP,
  transactionalId: AclResourceTypes.TRANSACTIONAL_ID,
} as const;

export interface SecuredKafka {
  /** Where nobody asks who you are, and everything is allowed: for the test itself. */
  readonly adminBrokers: readonly string[];
  /** Of the three listeners that ask. */
  readonly good: string;
  readonly expired: string;
  readonly misnamed: string;
  /** PEM files: the authority of the brokers, and one that has nothing to do with them. */
  readonly caFile: string;
  readonly otherCaFile: string;
  readonly username: string;
  grant(...rights: readonly Right[]): Promise<void>;
  revoke(...rights: readonly Right[]): Promise<void>;
  stop(): Promise<void>;
}

export async function startSecuredKafka(): Promise<SecuredKafka> {
  const authority = makeAuthority("authority of the brokers");
  const hosts = ["127.0.0.1", "localhost"];
  const presented = {
    SECURE: authority.issue({ name: "broker", hosts }),
    EXPIRED: authority.issue({ name: "broker", hosts, isExpired: true }),
    MISNAMED: authority.issue({ name: "broker", hosts: ["kafka.example", "10.1.2.3"] }),
  };
  const directory = await mkdtemp(join(tmpdir(), "secured-kafka-"));
  const write = async (name: string, text: string) => {
    const path = join(directory, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  const caFile = await write("ca.pem", authority.ca);
  const otherCaFile = await write("other.pem", makeAuthority("another authority").ca);
  const properties: Record<string, string> = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    // The plain listeners, of the brokers among themselves and of the test, know no names.
    "super.users": "User:ANONYMOUS",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
  };
  const listeners = await Promise.all(
    Object.entries(presented).map(async ([name, { cert, key }]) => {
      const own = `listener.name.${name.toLowerCase()}`;
      properties[`${own}.ssl.keystore.type`] = "PEM";
      properties[`${own}.ssl.keystore.location`] = await write(`${name}.pem`, `${key}${cert}`);
      properties[`${own}.scram-sha-512.sasl.jaas.config`] =
        "org.apache.kafka.common.security.scram.ScramLoginModule required;";
      return { name, protocol: "SASL_SSL", port: await freePort() } as const;
    }),
  );
  const at = (wanted: keyof typeof presented) =>
    `127.0.0.1:${listeners.find(({ name }) => name === wanted)?.port}`;
  const scramUsers = [{ name: user, password: kafkaPasswordCanary }];
  const kafka = await startKafka({ flavour: "own", listeners, scramUsers, properties });
  const admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  return {
    adminBrokers: kafka.brokers,
    good: at("SECURE"),
    expired: at("EXPIRED"),
    misnamed: at("MISNAMED"),
    caFile,
    otherCaFile,
    username: user,
    grant: async (...rights) => void (await admin.createAcls({ acl: rights.map(entryOf) })),
    revoke: async (...rights) => {
      await admin.deleteAcls({ filters: rights.map(entryOf) });
    },
    stop: async () => {
      await admin.disconnect();
      await kafka.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function entryOf(right: Right): AclEntry {
  const [operation, resource, name = ""] = right.split(" ") as [
    keyof typeof operations,
    keyof typeof resources,
    string?,
  ];
  const isPrefix = name.endsWith("*");
  return {
    principal: `User:${user}`,
    host: "*",
    operation: operations[operation],
    permissionType: AclPermissionTypes.ALLOW,
    resourceType: resources[resource],
    resourceName: isPrefix ? name.slice(0, -1) : name,
    resourcePatternType: isPrefix ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
  };
}

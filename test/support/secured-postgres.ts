/**
 * A PostgreSQL that takes roles over TLS only, with SCRAM-SHA-256 or a client certificate. Its own
 * certificate can be exchanged while it runs, for one that nobody should trust.
 */
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import pg from "pg";
import { startPostgres } from "../../src/environment/environment.ts";
import { serverOwner } from "../../src/environment/postgres-binaries.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { type Certificate, makeAuthority } from "./certificates.ts";
import { databaseConfig } from "./migrated-database.ts";

export const passwordCanary = "p4ssw0rd-canary-of-postgres";

/** `nameOnly`: for localhost, not for 127.0.0.1, which is what tests dial. */
export type Presented = "good" | "expired" | "misnamed" | "nameOnly";

/** Without TLS only the superuser gets in, who makes and reads everything else; `badge` shows a certificate. */
const admission = `
hostnossl all postgres 127.0.0.1/32 scram-sha-256
hostssl   all badge    127.0.0.1/32 cert
hostssl   all all      127.0.0.1/32 scram-sha-256
`;

export interface SecuredPostgres {
  /** Of the superuser, without TLS. */
  readonly adminUrl: string;
  /** Of the role `relay`, without any word about TLS. */
  readonly url: string;
  /** PEM files: the authority of the server, one that has nothing to do with it, and the badge of role `badge`. */
  readonly files: {
    readonly ca: string;
    readonly otherCa: string;
    readonly cert: string;
    readonly key: string;
  };
  /** The same as texts. */
  readonly ca: string;
  readonly otherCa: string;
  readonly badge: Certificate;
  /** Resolves when new connections are shown this certificate. */
  present(kind: Presented): Promise<void>;
  stop(): Promise<void>;
}

export async function startSecuredPostgres(): Promise<SecuredPostgres> {
  const authority = makeAuthority("authority of the database");
  const otherCa = makeAuthority("another authority").ca;
  const hosts = ["127.0.0.1", "localhost"];
  const certificates: Readonly<Record<Presented, Certificate>> = {
    good: authority.issue({ name: "database", hosts }),
    expired: authority.issue({ name: "database", hosts, isExpired: true }),
    misnamed: authority.issue({ name: "database", hosts: ["db.example", "10.1.2.3"] }),
    nameOnly: authority.issue({ name: "database", hosts: ["localhost"] }),
  };
  const badge = authority.issue({ name: "badge" });
  const directory = await mkdtemp(join(tmpdir(), "secured-postgres-"));
  const file = (name: string) => join(directory, name);
  const owner = await serverOwner();
  const write = async (name: string, text: string) => {
    await writeFile(file(name), text, { mode: 0o600 });
    if (owner !== undefined) await chown(file(name), owner.uid, owner.gid);
  };
  const install = async ({ cert, key }: Certificate) => {
    await write("server.key", key);
    await write("server.crt", cert);
  };
  if (owner !== undefined) await chown(directory, owner.uid, owner.gid);
  await install(certificates.good);
  await write("ca.crt", authority.ca);
  await write("other.crt", otherCa);
  await write("badge.crt", badge.cert);
  await write("badge.key", badge.key);
  await write("admission.conf", admission);
  const server = await startPostgres({
    flavour: "embedded",
    settings: {
      fsync: "off",
      ssl: "on",
      ssl_cert_file: file("server.crt"),
      ssl_key_file: file("server.key"),
      ssl_ca_file: file("ca.crt"),
      hba_file: file("admission.conf"),
    },
  });
  await prepare(server.url);
  const url = new URL(server.url);
  url.username = "relay";
  url.password = passwordCanary;
  return {
    adminUrl: server.url,
    url: url.href,
    files: {
      ca: file("ca.crt"),
      otherCa: file("other.crt"),
      cert: file("badge.crt"),
      key: file("badge.key"),
    },
    ca: authority.ca,
    otherCa,
    badge,
    present: async (kind) => {
      await install(certificates[kind]);
      server.process?.signal("SIGHUP");
      while ((await presentedAt(Number(url.port))) !== flat(certificates[kind].cert));
    },
    stop: async () => {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function prepare(adminUrl: string): Promise<void> {
  const client = await connect(databaseConfig(adminUrl));
  try {
    await migrate(client, { schema: "public", direction: "up", payloadType: "json" });
    for (const role of ["relay", "badge"]) {
      await client.query(`create role ${role} login password ${pg.escapeLiteral(passwordCanary)}`);
      await client.query(`grant select, insert, update, delete on all tables in schema public to ${role}`);
    }
  } finally {
    await client.end();
  }
}

const flat = (pem: string): string => pem.replaceAll(/-----[^-]+-----|\s/g, "");

/** What the server shows to whoever asks for TLS, as base64. */
function presentedAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, "127.0.0.1");
    socket.on("error", reject);
    // The request for TLS; the answer is one byte.
    socket.once("connect", () => socket.write(Buffer.from("0000000804d2162f", "hex")));
    socket.once("data", () => {
      const tls = connectTls({ socket, rejectUnauthorized: false }, () => {
        resolve(tls.getPeerCertificate().raw.toString("base64"));
        tls.destroy();
      });
      tls.on("error", reject);
    });
  });
}

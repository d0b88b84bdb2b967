/**
 * A database for migrations: entered as a plain role (no superuser, no extension, no right that was
 * not granted), because that is what an application has.
 */
import { randomBytes } from "node:crypto";
import pg from "pg";

export interface PlainDatabase {
  /** As the plain role. */
  readonly url: string;
  /** As the superuser of the server. */
  readonly adminUrl: string;
  readonly role: string;
  /** A connection as the plain role, or as whoever the URL names; ended by `drop`. */
  connect(url?: string, options?: pg.ClientConfig): Promise<pg.Client>;
  drop(): Promise<void>;
}

/** `mayCreate: false` takes the right to create schemas away; the role then owns nothing at all. */
export async function plainDatabase(serverUrl: string, { mayCreate = true } = {}): Promise<PlainDatabase> {
  const name = `plain_${randomBytes(6).toString("hex")}`;
  await asAdmin(serverUrl, async (admin) => {
    await admin.query(`create role ${name} login password 'plain' nosuperuser nocreatedb nocreaterole`);
    await admin.query(`create database ${name}`);
    if (mayCreate) await admin.query(`grant create on database ${name} to ${name}`);
  });
  const adminUrl = withPath(serverUrl, name);
  if (mayCreate) {
    await asAdmin(adminUrl, (admin) => admin.query(`grant usage, create on schema public to ${name}`));
  }
  const url = new URL(adminUrl);
  url.username = name;
  url.password = "plain";
  const clients: pg.Client[] = [];
  return {
    url: url.href,
    adminUrl,
    role: name,
    connect: async (target = url.href, options = {}) => {
      const client = new pg.Client({ connectionString: target, ...options });
      client.on("error", () => undefined);
      await client.connect();
      clients.push(client);
      return client;
    },
    drop: async () => {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      await asAdmin(serverUrl, async (admin) => {
        await admin.query(`drop database ${name} with (force)`);
        await admin.query(`drop role ${name}`);
      });
    },
  };
}

function withPath(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}

async function asAdmin(url: string, work: (admin: pg.Client) => Promise<unknown>): Promise<void> {
  const admin = new pg.Client(url);
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}

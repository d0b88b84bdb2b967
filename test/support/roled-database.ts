/** A database whose outbox belongs to an owner, and roles that have only what they are granted. */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { grantStatements } from "../../src/doctor/grants.ts";
import type { NeedOptions, RoleKind } from "../../src/doctor/privileges.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { quoteIdentifier } from "../../src/outbox/statements.ts";
import { freshDatabase } from "./database.ts";
import { databaseConfig } from "./migrated-database.ts";

const password = "granted";

export const defaultNeeds: NeedOptions = { delivery: "at-least-once", inboxRetentionMs: 0 };

export class RoledDatabase {
  readonly schema: string;
  /** Of the server's superuser, in this database. */
  readonly adminUrl: string;
  readonly admin: pg.Client;
  readonly #drop: () => Promise<void>;
  readonly #roles: string[] = [];
  readonly #clients: pg.Client[] = [];
  /** So that roles, which belong to the server, do not meet those of another test. */
  readonly #suffix = randomBytes(4).toString("hex");

  private constructor(schema: string, adminUrl: string, admin: pg.Client, drop: () => Promise<void>) {
    this.schema = schema;
    this.adminUrl = adminUrl;
    this.admin = admin;
    this.#drop = drop;
  }

  static async make(schema = "public"): Promise<RoledDatabase> {
    const { url, drop } = await freshDatabase();
    const admin = await connect(databaseConfig(url));
    const database = new RoledDatabase(schema, url, admin, drop);
    const owner = await database.role("owner");
    await admin.query(
      `grant create on database ${new URL(url).pathname.slice(1)} to ${quoteIdentifier(owner)}`,
    );
    await admin.query(`grant usage, create on schema public to ${quoteIdentifier(owner)}`);
    const client = await database.connect(owner);
    await migrate(client, { schema, direction: "up" });
    return database;
  }

  /** Makes a role that may log in and nothing else; returns its name. */
  async role(name: string): Promise<string> {
    const role = `${name} ${this.#suffix}`;
    await this.admin.query(`create role ${quoteIdentifier(role)} login password '${password}'`);
    this.#roles.push(role);
    return role;
  }

  /** A role with the rights that `outrider grants` prints for it. */
  async granted(kind: RoleKind, needs: NeedOptions = defaultNeeds, name: string = kind): Promise<string> {
    const role = await this.role(name);
    await this.grant(kind, role, needs);
    return role;
  }

  async grant(kind: RoleKind, role: string, needs: NeedOptions = defaultNeeds): Promise<void> {
    for (const statement of grantStatements(kind, role, { ...needs, schema: this.schema }))
      await this.admin.query(statement);
  }

  urlOf(role: string): string {
    const url = new URL(this.adminUrl);
    url.username = encodeURIComponent(role);
    url.password = password;
    return url.href;
  }

  async connect(role: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.urlOf(role) });
    client.on("error", () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  async drop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end().catch(() => undefined)));
    await this.admin.end();
    await this.#drop();
    const admin = new pg.Client(this.adminUrl.replace(/\/[^/]*$/, "/postgres"));
    await admin.connect();
    for (const role of this.#roles) await admin.query(`drop role if exists ${quoteIdentifier(role)}`);
    await admin.end();
  }
}

/** Where the database is and how it is reached: what a `DATABASE_URL` says, and what is said beside it. */

export type Sslmode = "disable" | "require" | "verify-ca" | "verify-full";

export interface DatabaseConfig {
  /** Without sslmode and its relatives, which are given separately. */
  readonly url: string;
  readonly schema: string;
  readonly sslmode: Sslmode;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

const sslmodes: readonly string[] = ["disable", "require", "verify-ca", "verify-full"];

const notInUrl: readonly (readonly [string, string])[] = [
  ["ssl", "write sslmode=verify-full"],
  ["sslcert", "set OUTRIDER_DATABASE_CERT_FILE"],
  ["sslkey", "set OUTRIDER_DATABASE_KEY_FILE"],
];

/** Takes the TLS part out of a URL, because drivers disagree about what it means; a string is a fault. */
export function parseDatabaseUrl(
  text: string,
): { url: string; sslmode: Sslmode | null; caFile: string | null } | string {
  if (!URL.canParse(text))
    return "this is no URL; write postgres://user:password@host:port/database and percent-encode special characters";
  const url = new URL(text);
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:")
    return `"${url.protocol}" is no PostgreSQL; the URL must begin with postgres://`;
  const sslmode = url.searchParams.get("sslmode");
  if (sslmode !== null && !sslmodes.includes(sslmode))
    return `sslmode=${sslmode} is not supported: use ${sslmodes.join(", ")}`;
  // Left out in silence, each of these would mean less protection than the URL asks for.
  for (const [name, instead] of notInUrl)
    if (url.searchParams.has(name)) return `${name} is not read from the URL: ${instead}`;
  const caFile = url.searchParams.get("sslrootcert");
  for (const name of ["sslmode", "sslrootcert"]) url.searchParams.delete(name);
  return { url: url.href, sslmode: sslmode as Sslmode | null, caFile };
}

import { describe, expect, it } from "vitest";
import { OutriderError } from "../../../src/foundation/errors.ts";
import { databaseConfigOf, parseSettings, showSettings } from "../../../src/service/config.ts";

const file = import.meta.filename;
const remote = "postgres://relay:s3cret@db.example/app";

/** The faults, as one text; empty when there is none. */
function faultsOf(environment: Readonly<Record<string, string>>): string {
  try {
    parseSettings(environment);
    return "";
  } catch (error) {
    if (error instanceof OutriderError) return error.message;
    throw error;
  }
}

describe("a certificate that would have no effect", () => {
  it.each([
    [
      "of PostgreSQL's authority, without sslmode",
      { DATABASE_URL: remote, OUTRIDER_DATABASE_CA_FILE: file },
      /OUTRIDER_DATABASE_SSLMODE=verify-full/,
    ],
    ["of Kafka's authority, without TLS", { OUTRIDER_KAFKA_CA_FILE: file }, /OUTRIDER_KAFKA_TLS=true/],
    [
      "without its key",
      { OUTRIDER_KAFKA_TLS: "1", OUTRIDER_KAFKA_CERT_FILE: file },
      /OUTRIDER_KAFKA_KEY_FILE go together/,
    ],
    ["and a key without it", { OUTRIDER_DATABASE_KEY_FILE: file }, /OUTRIDER_DATABASE_KEY_FILE go together/],
    [
      "named in the URL",
      { DATABASE_URL: `${remote}?sslmode=require&sslcert=${file}` },
      /sslcert is not read from the URL/,
    ],
    [
      "asked for by ssl=true",
      { DATABASE_URL: `${remote}?ssl=true` },
      /ssl is not read from the URL: write sslmode=verify-full/,
    ],
    [
      "that is not there",
      { DATABASE_URL: `${remote}?sslmode=verify-full&sslrootcert=/nowhere` },
      /sslrootcert: ENOENT/,
    ],
  ])("%s is a fault", (_, environment, sentence) => {
    const faults = faultsOf(environment as Record<string, string>);
    expect(faults).toMatch(sentence);
    expect(faults).not.toContain("s3cret");
  });

  it.each([
    { DATABASE_URL: `${remote}?sslmode=verify-full`, OUTRIDER_DATABASE_CA_FILE: file },
    { DATABASE_URL: remote, OUTRIDER_DATABASE_SSLMODE: "disable", OUTRIDER_DATABASE_CA_FILE: file },
    { OUTRIDER_KAFKA_TLS: "true", OUTRIDER_KAFKA_CERT_FILE: file, OUTRIDER_KAFKA_KEY_FILE: file },
  ])("is none where TLS is spoken of: %o", (environment) => {
    expect(faultsOf(environment as Record<string, string>)).toBe("");
  });
});

describe("what travels in the clear", () => {
  const warningsOf = (environment: Readonly<Record<string, string>>) => parseSettings(environment).warnings;
  const login = { OUTRIDER_KAFKA_SASL_USERNAME: "u", OUTRIDER_KAFKA_SASL_PASSWORD: "s3cret" };

  it("is warned of, once each, without the secret", () => {
    const plain = warningsOf({ DATABASE_URL: remote, ...login, OUTRIDER_KAFKA_SASL_MECHANISM: "plain" });
    expect(plain).toEqual([
      expect.stringContaining("PostgreSQL at db.example is not encrypted"),
      expect.stringContaining("the password travels in the clear"),
    ]);
    expect(plain.join()).not.toContain("s3cret");
  });

  it("is not, on this machine, with TLS, or where somebody said that it is meant so", () => {
    for (const url of [
      "postgres://u:p@127.0.0.1/db",
      "postgres://u:p@localhost/db",
      "postgres://u:p@[::1]/db",
      `${remote}?sslmode=disable`,
      `${remote}?sslmode=verify-full`,
    ])
      expect(warningsOf({ DATABASE_URL: url })).toEqual([]);
    expect(
      warningsOf({ ...login, OUTRIDER_KAFKA_SASL_MECHANISM: "plain", OUTRIDER_KAFKA_TLS: "yes" }),
    ).toEqual([]);
  });
});

describe("outrider config", () => {
  it.each(["pass:word", "https://a:b@c/d", "plain"])("shows nothing of the password %s", (password) => {
    const parsed = parseSettings({ OUTRIDER_KAFKA_SASL_PASSWORD: password });
    const shown = showSettings(parsed).find(({ variable }) => variable === "OUTRIDER_KAFKA_SASL_PASSWORD");
    expect(shown?.value).toBe("********");
  });

  it("shows where the database is, and neither the password nor the rest of the URL", () => {
    const parsed = parseSettings({
      DATABASE_URL: "postgres://relay:s3cret@db.example:5433/app?password=s3cret",
    });
    const shown = showSettings(parsed).find(({ variable }) => variable === "DATABASE_URL");
    expect(shown?.value).toBe("postgres://relay:********@db.example:5433/app");
  });
});

describe("sslmode", () => {
  it("in a setting wins over the one in the URL, and the driver never sees the URL's", () => {
    const { settings } = parseSettings({
      DATABASE_URL: `${remote}?sslmode=require`,
      OUTRIDER_DATABASE_SSLMODE: "verify-full",
    });
    expect(databaseConfigOf(settings)).toMatchObject({ sslmode: "verify-full", url: remote });
  });
});

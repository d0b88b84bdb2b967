import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { withParts } from "../../../scripts/markdown.ts";
import {
  observabilityParts,
  observabilityPath,
  readAnnouncements,
} from "../../../scripts/observability-reference.ts";
import { readmePath, withReference } from "../../../scripts/write-reference.ts";
import { everyAnnouncement } from "../../support/every-announcement.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "docs/orms.md",
  "docs/inbox.md",
  "docs/moving.md",
  "docs/consumers.md",
  "docs/delivery.md",
  "docs/observability.md",
  "docs/operations.md",
  "docs/deploy.md",
  "docs/security.md",
];
const textOf = (page: string) => readFileSync(`${root}${page}`, "utf8");

describe("the README", () => {
  it("says about settings and codes what the tables say (npx tsx scripts/write-reference.ts)", () => {
    const readme = readFileSync(readmePath, "utf8");
    expect(readme).toBe(withReference(readme));
  });

  it("would be seen to drift", () => {
    const readme = readFileSync(readmePath, "utf8").replace("`CONFIG_INVALID`", "`CONFIG_BROKEN`");
    expect(withReference(readme)).not.toBe(readme);
  });
});

describe("docs/observability.md", () => {
  const page = () => readFileSync(observabilityPath, "utf8");

  it("says about announcements, log fields and metrics what the code says (npm run reference)", () => {
    expect(page()).toBe(withParts(page(), observabilityParts));
  });

  it("would be seen to drift", () => {
    const drifted = page().replace("`fence-held`", "`fence-holding`");
    expect(withParts(drifted, observabilityParts)).not.toBe(drifted);
  });

  it("explains every announcement, with the fields that it has", () => {
    const shown = readAnnouncements().map(({ type, fields }) => [type, ...fields].sort().join());
    const real = everyAnnouncement().map((announcement) => {
      const { type, ...fields } = announcement;
      return [type, ...Object.keys(fields).filter((name) => name !== "batch")].sort().join();
    });
    expect(shown.sort()).toEqual(real.sort());
    expect(readAnnouncements().filter(({ meaning }) => meaning === "")).toEqual([]);
  });
});

describe.each(pages)("%s", (page) => {
  it("names only files that exist", () => {
    const links = [...textOf(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, path]) =>
      join(dirname(page), path ?? ""),
    );
    const paths = [
      ...textOf(page).matchAll(/`((?:src|test|docs|scripts|migrations|examples|\.ci)\/[^`*<>\s]+)`/g),
    ].map(([, path]) => path ?? "");
    expect([...links, ...paths].filter((path) => !existsSync(`${root}${path}`))).toEqual([]);
  });
});

describe(".ci/run", () => {
  it("runs the parts of `npm run check`, all of them", () => {
    const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
    const ran = [...textOf(".ci/run").matchAll(/^npm (?!ci)([^<|]+?) <\/dev\/null \|\| status=1$/gm)];
    expect(ran.map(([, part]) => `npm ${part}`).join(" && ")).toBe(scripts.check);
  });
});

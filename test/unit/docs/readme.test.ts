import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readmePath, withReference } from "../../../scripts/write-reference.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "docs/orms.md",
  "docs/inbox.md",
  "docs/operations.md",
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

import { readdirSync } from "node:fs";

const suffix = ".up.sql";

/** Every migration there is, in order: read from the folder, not from the code under test. */
export const shipped: readonly string[] = readdirSync(new URL("../../migrations", import.meta.url))
  .filter((file) => file.endsWith(suffix))
  .map((file) => file.slice(0, -suffix.length))
  .sort();

/** What is applied where nothing else is asked for. */
export const all: readonly string[] = shipped.filter((name) => !name.includes("_narrow_fence"));

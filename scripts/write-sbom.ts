/**
 * Prints the bill of materials (CycloneDX) of what is installed in production.
 *
 * `npm sbom --omit=dev` cannot be asked for it directly: in a production tree it fails for the missing
 * development packages, and from the lock file it leaves out every package that a development package needs
 * as well, pg among them. So it is asked in a production tree whose package.json knows of no other.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const own = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const npm = (cwd: string, ...args: readonly string[]): string =>
  execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

interface Bill {
  readonly components: readonly { readonly name: string; readonly group?: string }[];
}

const tree = mkdtempSync(join(tmpdir(), "outrider-sbom-"));
try {
  for (const name of ["package.json", "package-lock.json"]) copyFileSync(own(name), join(tree, name));
  npm(tree, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--silent");
  const { devDependencies: _, ...manifest } = JSON.parse(readFileSync(own("package.json"), "utf8")) as {
    readonly devDependencies: unknown;
    readonly dependencies: Readonly<Record<string, string>>;
  };
  writeFileSync(join(tree, "package.json"), JSON.stringify(manifest));
  const bill = npm(tree, "sbom", "--omit=dev", "--sbom-format=cyclonedx", "--sbom-type=application");
  const { components } = JSON.parse(bill) as Bill;
  const missing = Object.keys(manifest.dependencies).filter(
    (name) => !components.some((component) => component.name === name),
  );
  if (missing.length > 0) throw new Error(`the bill of materials leaves out ${missing.join(", ")}`);
  process.stdout.write(bill);
} finally {
  rmSync(tree, { recursive: true });
}

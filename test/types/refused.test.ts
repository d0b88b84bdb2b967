import path from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");

/** What the compiler has to say about one file, with the project's own settings. */
function faultsIn(file: string): string {
  const { config } = ts.readConfigFile(path.join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const program = ts.createProgram([file], options);
  return ts.formatDiagnostics(ts.getPreEmitDiagnostics(program, program.getSourceFile(file)), {
    getCurrentDirectory: () => root,
    getCanonicalFileName: (name) => name,
    getNewLine: () => "\n",
  });
}

it.each(["refused.ts", "consumer.ts"])(
  "what must not compile does not, and what must does: %s",
  { timeout: 60_000 },
  (file) => {
    expect(faultsIn(path.join(import.meta.dirname, file))).toBe("");
  },
);

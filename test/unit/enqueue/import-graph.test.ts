import { readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../../../src");

/** Every module that is loaded when an application imports the given file, as the compiler emits it. */
function loadedBy(entry: string): Set<string> {
  const found = new Set<string>();
  const visit = (file: string) => {
    if (found.has(file)) return;
    found.add(file);
    // What is only a type is gone from the output, and with it its import.
    const { outputText } = ts.transpileModule(readFileSync(path.join(root, file), "utf8"), {
      compilerOptions: {
        module: ts.ModuleKind.ESNext,
        target: ts.ScriptTarget.ES2022,
        verbatimModuleSyntax: true,
      },
    });
    for (const { fileName } of ts.preProcessFile(outputText, true, true).importedFiles) {
      if (fileName.startsWith(".")) visit(path.join(path.dirname(file), fileName));
      else found.add(fileName);
    }
  };
  visit(entry);
  return found;
}

describe("what an application imports", () => {
  const loaded = [...loadedBy("index.ts")];

  it("reaches enqueue and the adapters, and no npm package", () => {
    expect(loaded).toContain(path.join("enqueue", "enqueue.ts"));
    expect(loaded).toContain(path.join("foundation", "transaction.ts"));
    expect(loaded.filter((name) => !name.endsWith(".ts") && !name.startsWith("node:"))).toEqual([]);
  });

  it("reaches no room of the relay", () => {
    const rooms = new Set(
      loaded.filter((name) => name.endsWith(".ts")).map((name) => name.split(path.sep)[0]),
    );
    expect([...rooms].toSorted()).toEqual(["enqueue", "event", "foundation", "inbox", "index.ts"]);
  });

  it("is judged by a walk that would see a package", () => {
    expect([...loadedBy(path.join("publisher", "kafka.ts"))]).toContain("kafkajs");
  });
});

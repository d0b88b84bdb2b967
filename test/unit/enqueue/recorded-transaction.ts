import type { Transaction } from "../../../src/foundation/transaction.ts";

export interface RecordedTransaction extends Transaction {
  readonly statements: { readonly sql: string; readonly texts: readonly (string | null)[] }[];
}

/** Writes down what it is told to execute. */
export function recordedTransaction(): RecordedTransaction {
  const statements: RecordedTransaction["statements"] = [];
  return {
    statements,
    execute: async (sql, texts) => {
      statements.push({ sql, texts });
    },
  };
}

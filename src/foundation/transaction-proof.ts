/** How the adapters of `transaction.ts` tell that there is an open transaction, and refuse when not. */
import { OutriderError } from "./errors.ts";

export const whileOpen = "await the call before the transaction's callback returns";

/**
 * For objects that do not know whether their transaction is still open: used after its end, they
 * write on the bare connection and commit at once (measured with Drizzle and postgres.js). This
 * statement costs a round trip, fails outside a transaction and does nothing inside one: any role may
 * read the catalog it names, and the lock keeps nobody waiting.
 */
export async function prove(run: (proof: string) => PromiseLike<unknown>): Promise<void> {
  try {
    await run("lock table pg_catalog.pg_namespace in access share mode");
  } catch (thrown) {
    if (hasCode(thrown, "25P01")) refuse("the transaction has not begun or has ended", whileOpen);
    throw thrown;
  }
}

/** Whether this SQLSTATE is what was thrown, or its cause: Drizzle wraps what its driver throws. */
function hasCode(thrown: unknown, code: string): boolean {
  if (!(thrown instanceof Error)) return false;
  return ("code" in thrown && thrown.code === code) || hasCode(thrown.cause, code);
}

export function refuse(problem: string, repair: string): never {
  throw new OutriderError("TRANSACTION_INVALID", `${problem}: ${repair}`, { repair });
}

import { Command, InvalidArgumentError } from "commander";
import type { BlockedAggregate } from "../outbox/dead-letter-channel.ts";
import { composeDeadLetters } from "../service/compose.ts";
import { addSettings, databaseKeys, printJson, settingsOf, warn } from "./command.ts";

const listedDefault = 100;
/** Rows looked at for each aggregate: a count must not read a table of millions. */
const rowsMax = 10_000;

export function blockedCommand(): Command {
  const command = new Command("blocked")
    .description("Aggregates that wait behind a rejected event: why, since when, and what waits with them.")
    .option("--limit <aggregates>", `most aggregates to list; default ${listedDefault}`, parseCount)
    .option("--json", "one JSON object");
  return addSettings(command, databaseKeys).action(async () => {
    const { settings, warnings } = settingsOf(command, databaseKeys);
    warn(warnings);
    const { limit = listedDefault, json } = command.opts<{ limit?: number; json?: boolean }>();
    const { channel, close } = composeDeadLetters(settings);
    try {
      const found = await channel.blocked(limit + 1, rowsMax);
      const aggregates = found.slice(0, limit);
      const isMore = found.length > limit;
      if (json === true) printJson({ aggregates, isMore });
      else process.stdout.write(render(aggregates, isMore));
    } finally {
      await close();
    }
  });
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 10_000) return count;
  throw new InvalidArgumentError("a whole number from 1 to 10000 is needed");
}

function render(aggregates: readonly BlockedAggregate[], isMore: boolean): string {
  if (aggregates.length === 0) return "nothing is blocked\n";
  const lines = aggregates.map(
    ({ aggregateId, eventId, reason, attempts, blockedAt, retriedAt, waiting, isMore: areMore, message }) =>
      `${JSON.stringify(aggregateId)}  ${reason}, ${attempts} rejection(s) since ${blockedAt}, the last ${retriedAt}\n` +
      `    event ${eventId}; ${areMore ? "at least " : ""}${waiting} event(s) wait\n    ${message}`,
  );
  return `${[...lines, ...(isMore ? ["there are more: --limit shows them"] : [])].join("\n")}\n`;
}

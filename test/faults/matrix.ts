/** Every row of the matrix, in its order. */
import type { Delivery } from "./delivery.ts";
import { fleetRow } from "./fleet.ts";
import type { Row } from "./row.ts";
import { atMostOnceRows } from "./rows-at-most-once.ts";
import { brokerRows } from "./rows-brokers.ts";
import { exactlyOnceRows } from "./rows-exactly-once.ts";
import { failpointRows } from "./rows-failpoints.ts";
import { hostRows } from "./rows-host.ts";
import { kafkaRows } from "./rows-kafka.ts";
import { postgresRows } from "./rows-postgres.ts";
import { relayRows } from "./rows-relays.ts";
import { tableRows } from "./rows-table.ts";

const numberOf = ({ id }: Row): number => Number.parseInt(id.slice(1), 10);

export const matrix: readonly Row[] = [
  ...relayRows,
  ...kafkaRows,
  ...brokerRows,
  ...postgresRows,
  ...tableRows,
  ...hostRows,
  fleetRow,
  ...exactlyOnceRows,
  ...failpointRows,
  ...atMostOnceRows,
].sort((a, b) => a.id.charCodeAt(0) - b.id.charCodeAt(0) || numberOf(a) - numberOf(b));

/** The rows that run in every test run. */
export const shortIds: { readonly [mode in Delivery]: readonly string[] } = {
  "at-least-once": ["F1", "F2", "F3", "F4", "F7", "F11"],
  "exactly-once": ["F7", "X3", "X5"],
  "at-most-once": ["Y1"],
};

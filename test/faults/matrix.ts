/** Every row of the matrix, in its order. */
import type { Row } from "./row.ts";
import { kafkaRows } from "./rows-kafka.ts";
import { relayRows } from "./rows-relays.ts";

const numberOf = ({ id }: Row): number => Number(id.slice(1));

export const matrix: readonly Row[] = [...relayRows, ...kafkaRows].sort((a, b) => numberOf(a) - numberOf(b));

/** The rows that run in every test run: below a minute together. */
export const shortIds: readonly string[] = ["F1", "F2", "F3", "F4", "F7", "F11"];

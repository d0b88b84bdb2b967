/** How long to wait and how much to claim: pure. */

/** Full jitter below a doubling ceiling; `attempt` counts from 1. */
export function backoffMs(attempt: number, minMs: number, maxMs: number, random: () => number): number {
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(attempt - 1, 30));
  // At least half of it, so that a fault that lasts does not turn into a hot loop.
  return Math.round(ceiling * (0.5 + random() / 2));
}

export interface PollLimits {
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
}

/**
 * The pause after a poll. `idlePolls` counts the polls in a row that found nothing. The pause doubles from
 * its minimum up to its maximum; jitter keeps a fleet from polling in step after a common start.
 */
export function pauseMs(idlePolls: number, isCut: boolean, limits: PollLimits, random: () => number): number {
  if (isCut) return 0;
  if (idlePolls === 0) return limits.pollMinMs;
  return Math.min(limits.pollMaxMs, doubled(idlePolls, limits)) * (0.9 + random() * 0.1);
}

function doubled(idlePolls: number, { pollMinMs }: PollLimits): number {
  return Math.max(1, pollMinMs) * 2 ** Math.min(idlePolls - 1, 30);
}

/** Whether the pause has grown as long as it gets. */
export function isLongest(idlePolls: number, limits: PollLimits): boolean {
  return idlePolls > 0 && doubled(idlePolls, limits) >= limits.pollMaxMs;
}

/** Fewest rows to ask for, however large the payloads seem: the average may be wrong. */
const eventsMin = 16;

/**
 * How many rows to ask for: what fills the byte limit at the average size seen last, and a quarter
 * more. Measuring rows that are then cut off is work for nothing.
 */
export function eventsToClaim(averageBytes: number, eventsMax: number, bytesMax: number): number {
  if (averageBytes <= 0) return eventsMax;
  return Math.min(eventsMax, Math.max(eventsMin, Math.ceil((bytesMax / averageBytes) * 1.25)));
}

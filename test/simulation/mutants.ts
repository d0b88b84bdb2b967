/**
 * Relays that are wrong in one respect each. What holds for the real core proves nothing unless it
 * breaks for these: every one has to be caught. They are made by exchanging parts on their way into
 * the real core; nothing in `src/` knows of them.
 */
import {
  deleteBeforeAck,
  goesOnAfterAbandoning,
  laneGoesOn,
  reusedProducer,
  twoBatchesAtOnce,
  unknownIsAck,
} from "./mutants-of-publishing.ts";
import {
  clockAfterLocks,
  noFence,
  oneSnapshot,
  ownClock,
  persistedCursor,
  skipLocked,
  startOfAnother,
  startOfStatement,
  unreadAnnouncements,
  unsettledSweep,
} from "./mutants-of-reading.ts";
import type { Mutant } from "./relay-under-test.ts";

export const mutants: readonly Mutant[] = [
  deleteBeforeAck,
  unknownIsAck,
  noFence,
  unreadAnnouncements,
  clockAfterLocks,
  startOfStatement,
  startOfAnother,
  oneSnapshot,
  skipLocked,
  twoBatchesAtOnce,
  laneGoesOn,
  persistedCursor,
  reusedProducer,
  ownClock,
  unsettledSweep,
  goesOnAfterAbandoning,
];

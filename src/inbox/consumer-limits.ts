import { OutriderError } from "../foundation/errors.ts";

/** Every bound of a consumer. All are whole numbers. */
export interface ConsumerLimits {
  /** Most events worked on at once, over all partitions of this member. Default 16, 1 to 10,000. */
  readonly concurrency: number;
  /**
   * How many events of a partition may lie at or above the oldest one that is not done: what a crash can
   * bring again, and how far the others run ahead of a blocked one. Default 2,000, 1 to 1,000,000.
   */
  readonly eventsAheadMax: number;
  /** Most bytes of keys and payloads of a partition that wait in memory. Default 8,388,608, 1 to 2^30. */
  readonly bytesAheadMax: number;
  /** First pause before an event that failed is tried again; doubles, with jitter. Default 100 ms, 1 to 3,600,000. */
  readonly retryMinMs: number;
  /** Longest such pause. Default 30,000 ms, 1 to 86,400,000. */
  readonly retryMaxMs: number;
  /** How often what is done is committed. Default 1,000 ms, 10 to 600,000. */
  readonly commitIntervalMs: number;
  /** How long a partition's work may hold up the next fetch of the others. Default 500 ms, 10 to 60,000. */
  readonly holdMsMax: number;
  /**
   * How long a stop or a rebalance waits for work that runs. Default 30,000 ms, 0 to 600,000; keep it
   * below the consumer's `rebalanceTimeout` (kafkajs: 60,000), or the group goes on without this member.
   */
  readonly drainMsMax: number;
}

const bounds: {
  readonly [Name in keyof ConsumerLimits]: readonly [preset: number, min: number, max: number];
} = {
  concurrency: [16, 1, 10_000],
  eventsAheadMax: [2_000, 1, 1_000_000],
  bytesAheadMax: [8_388_608, 1, 2 ** 30],
  retryMinMs: [100, 1, 3_600_000],
  retryMaxMs: [30_000, 1, 86_400_000],
  commitIntervalMs: [1_000, 10, 600_000],
  holdMsMax: [500, 10, 60_000],
  drainMsMax: [30_000, 0, 600_000],
};

/** What was given, completed; throws CONFIG_INVALID with every fault at once. */
export function limitsOf(given: Partial<ConsumerLimits>): ConsumerLimits {
  const faults: string[] = [];
  const limit = (name: keyof ConsumerLimits): number => {
    const [preset, min, max] = bounds[name];
    const value = given[name] ?? preset;
    if (!Number.isInteger(value) || value < min || value > max) {
      faults.push(`${name} is ${value}: a whole number from ${min} to ${max} is allowed`);
    }
    return value;
  };
  const limits: ConsumerLimits = {
    concurrency: limit("concurrency"),
    eventsAheadMax: limit("eventsAheadMax"),
    bytesAheadMax: limit("bytesAheadMax"),
    retryMinMs: limit("retryMinMs"),
    retryMaxMs: limit("retryMaxMs"),
    commitIntervalMs: limit("commitIntervalMs"),
    holdMsMax: limit("holdMsMax"),
    drainMsMax: limit("drainMsMax"),
  };
  if (faults.length > 0) throw new OutriderError("CONFIG_INVALID", `consume: ${faults.join("; ")}`);
  return limits;
}

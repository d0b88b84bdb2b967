/** What a row asks for before it begins. */
import type { Pair } from "../support/standby.ts";
import type { Delivery } from "./delivery.ts";
import type { LoadOptions } from "./load.ts";

export interface Play {
  /** Default at-least-once. */
  readonly delivery?: Delivery;
  /** Fewer repetitions and shorter calm. */
  readonly isShort?: boolean;
  /** False: times are told and not judged. */
  readonly isTimed?: boolean;
  readonly brokers?: 1 | 3;
  readonly relays?: number;
  readonly partitions?: number;
  readonly topicSettings?: Readonly<Record<string, string>>;
  /** A primary with a standby instead of the server of the stage; writers come through the proxy too. */
  readonly pair?: Pair;
  readonly load?: Partial<LoadOptions>;
  readonly relayEnvironment?: Readonly<Record<string, string>>;
}

/**
 * A call of one relay to the broker, caught on its way: the request before the broker has it, or the
 * answer when the broker has done what was asked. The transactional.id in it says whose batch it is.
 */
import type pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import type { KafkaAnswers, KafkaMessage, Mishap } from "../support/proxy.ts";
import type { Member } from "./crew.ts";
import type { Scene } from "./scene.ts";

export type Side = "request" | "answer";

export interface HeldCall {
  readonly message: KafkaMessage;
  /** Of the brokers of the scene. */
  readonly broker: number;
  readonly member: Member;
  release(): void;
  drop(): void;
}

const catchMsMax = 30_000;

/** The next one at any broker; what the other brokers' proxies have caught meanwhile passes. */
export async function holdCall(scene: Scene, side: Side, which: KafkaAnswers): Promise<HeldCall> {
  const held = scene.kafka.proxies.map((proxy) =>
    side === "request" ? proxy.holdNextRequest(which) : proxy.holdNext(which),
  );
  const ended = new AbortController();
  const late = systemClock.sleep(catchMsMax, ended.signal).then(() => undefined);
  const caught = held.map(async ({ happened }, broker) => ({ message: await happened, broker }));
  const first = await Promise.race([late, ...caught]);
  ended.abort();
  const mine = first === undefined ? undefined : held[first.broker];
  for (const mishap of held) if (mishap !== mine) mishap.release();
  if (first === undefined || mine === undefined)
    throw new Error(`no ${side} of the kind ${which.apiKey} came by within ${catchMsMax} ms`);
  return { ...first, ...endsOf(mine), member: scene.crew.called(first.message.clientId) };
}

const endsOf = ({ release, drop }: Mishap) => ({ release, drop });

/** The shard group that a transactional.id belongs to. */
export function groupOf({ transactionalId }: KafkaMessage): number {
  return Number(transactionalId.slice(transactionalId.lastIndexOf("-") + 1));
}

export interface OpenPage {
  readonly group: number;
  readonly number: number;
  readonly eventIds: readonly string[];
}

/** What is written down as handed to the broker, and not yet known to be there. */
export async function openPages(client: pg.Client): Promise<OpenPage[]> {
  const { rows } = await client.query<OpenPage>(
    `select shard_group as "group", number::int, event_ids::text[] as "eventIds"
       from outrider_batch_intents where event_ids is not null order by shard_group`,
  );
  return rows;
}

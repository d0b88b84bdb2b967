/** Which topics to audit, where nobody has named them. Pure. */
import { type Routing, topicShape } from "../event/message.ts";

const placeholder = "${aggregate_type}";

/**
 * The topics that the waiting rows are bound for, the default topic, and all that the template could have
 * made; of these, the ones that are there.
 */
export function topicsOf(
  routing: Routing,
  destinations: ReadonlySet<string>,
  visible: readonly string[],
): string[] {
  const [before = "", after] = routing.topicTemplate.split(placeholder);
  const isMade = (topic: string) =>
    after === undefined
      ? topic === routing.topicTemplate
      : topic.length > before.length + after.length && topic.startsWith(before) && topic.endsWith(after);
  return visible
    .filter((topic) => destinations.has(topic) || topic === routing.topicDefault || isMade(topic))
    .filter((topic) => topicShape.test(topic))
    .sort();
}

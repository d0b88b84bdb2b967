/** How much memory the relay takes for what it only carries. */
import { setFlagsFromString } from "node:v8";

/**
 * Keeps V8's young generation at the size that it starts with, instead of up to sixteen times that. What a relay
 * makes lives for a batch and is garbage then, so a larger one only lets more of it lie: measured, 150 instead of
 * 197 MB resident at a backlog of small events, and 170 instead of 195 at payloads of 10 kB, for the same
 * processor time. Call it before the work begins: what has grown does not shrink.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

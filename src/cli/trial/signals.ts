/** How a person ends a trial early. */

/** The reason of a run that a person ended. */
export const interrupted = Symbol("interrupted");

/** The first signal ends the run and cleans up, the second exits at once. */
export function listenToSignals(progress: { say(text: string): void }) {
  const ending = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    const code = signal === "SIGTERM" ? 143 : 130;
    if (process.exitCode === code) process.exit(code);
    process.exitCode = code;
    progress.say("stopping, and removing what it made (once more to leave at once)");
    ending.abort(interrupted);
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return {
    ending,
    release: () => process.off("SIGINT", onSignal).off("SIGTERM", onSignal),
  };
}

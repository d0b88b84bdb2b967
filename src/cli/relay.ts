import { Command } from "commander";
import type { Logger } from "pino";
import { systemClock } from "../foundation/clock.ts";
import { exitCodes } from "../foundation/errors.ts";
import { composeLog, composeRelay, type Service } from "../service/compose.ts";
import { keyNames } from "../service/config-keys.ts";
import { keepYoungGenerationSmall } from "../service/memory.ts";
import { addSettings, reportError, settingsOf } from "./command.ts";

export function relayCommand(): Command {
  const command = new Command("relay").description(
    "Publish what was committed, until SIGTERM. The log is JSON already.",
  );
  command.option("--json", "accepted for uniformity: the log is one JSON object a line in any case");
  return addSettings(command, keyNames).action(async () => {
    keepYoungGenerationSmall();
    const { settings, warnings } = settingsOf(command, keyNames);
    const log = composeLog(settings);
    for (const warning of warnings) log.warn(warning);
    const service = composeRelay(settings, log);
    const stopped = stopOnSignal(service, log, settings.shutdownTimeoutMs);
    try {
      await service.start();
      await service.finished();
      await Promise.race([stopped.signalled, service.stop()]);
    } catch (error) {
      const exitCode = reportError(error);
      // A send that is stuck may keep everything else from ending, and must not be waited for.
      const bound = systemClock.sleep(settings.shutdownTimeoutMs);
      await Promise.race([service.stop().catch(() => undefined), bound]);
      process.exit(exitCode);
    } finally {
      stopped.release();
    }
  });
}

/**
 * The first signal stops cleanly, the second exits at once: whoever asks twice means it. A stop that
 * takes too long exits as well; what was in flight is published again after the restart.
 */
function stopOnSignal(service: Service, log: Logger, timeoutMs: number) {
  const finished = new AbortController();
  let resolve: () => void = () => undefined;
  const signalled = new Promise<void>((done) => {
    resolve = done;
  });
  let isStopping = false;
  const stop = async () => {
    const late = systemClock.sleep(timeoutMs, finished.signal).then(() => {
      if (finished.signal.aborted) return;
      log.error(`not stopped within ${timeoutMs} ms: what is in flight will be published again`);
      process.exit(exitCodes.failed);
    });
    await service.stop();
    resolve();
    await late;
  };
  const onSignal = (signal: NodeJS.Signals) => {
    if (isStopping) process.exit(signal === "SIGTERM" ? 143 : 130);
    isStopping = true;
    stop().catch((error) => {
      process.exitCode = reportError(error);
    });
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  return {
    signalled,
    release: () => {
      finished.abort();
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
    },
  };
}

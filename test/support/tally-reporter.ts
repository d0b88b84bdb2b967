/** The last line of a run: "N passed, N failed", and ", N skipped" when there are any. */
import type { Reporter, TestModule } from "vitest/node";

export class TallyReporter implements Reporter {
  #tally = { passed: 0, failed: 0, skipped: 0 };

  /** Other reporters print their summaries when the run ends, some after us; this one prints last of all. */
  onInit(): void {
    process.once("exit", (status) => {
      const { passed, failed, skipped } = this.#tally;
      // A run that broke before its tests (a server that cannot be had) must not read like a good one.
      const broken = status !== 0 && failed === 0 ? 1 : failed;
      process.stdout.write(
        `${passed} passed, ${broken} failed${skipped === 0 ? "" : `, ${skipped} skipped`}\n`,
      );
    });
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const tally = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      let failedTests = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") tally.passed += 1;
        else if (state === "failed") failedTests += 1;
        else tally.skipped += 1;
      }
      // A file that breaks before its first test has no failed test, and must still count.
      tally.failed += failedTests === 0 && module.state() === "failed" ? 1 : failedTests;
    }
    this.#tally = tally;
  }
}

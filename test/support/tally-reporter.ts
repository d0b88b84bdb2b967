/** The last line of a run: "N passed, N failed", and ", N skipped" when there are any. */
import type { Reporter, TestModule, TestRunEndReason } from "vitest/node";

export class TallyReporter implements Reporter {
  #line = "0 passed, 1 failed";

  /** Other reporters print their summaries when the run ends, some after us; this one prints last of all. */
  onInit(): void {
    process.once("exit", () => process.stdout.write(`${this.#line}\n`));
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly unknown[],
    _reason: TestRunEndReason,
  ): void {
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
    const skipped = tally.skipped === 0 ? "" : `, ${tally.skipped} skipped`;
    this.#line = `${tally.passed} passed, ${tally.failed} failed${skipped}`;
  }
}

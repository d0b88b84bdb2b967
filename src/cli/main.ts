/** The command line: one file a command, this one puts them together. */
import { Command, CommanderError } from "commander";
import { exitCodes } from "../foundation/errors.ts";
import { version } from "../service/version.ts";
import { benchCommand, benchLoopCommand } from "./bench.ts";
import { blockedCommand } from "./blocked.ts";
import { reportError } from "./command.ts";
import { configCommand } from "./config.ts";
import { deadLettersCommand } from "./dead-letters.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { grantsCommand } from "./grants.ts";
import { migrateCommand } from "./migrate.ts";
import { relayCommand } from "./relay.ts";
import { statusCommand } from "./status.ts";
import { topCommand } from "./top.ts";
import { verifyCommand } from "./verify.ts";

function program(): Command {
  const root = new Command("outrider")
    .description(
      "Transactional outbox relay: from your PostgreSQL transaction to Kafka, in order per aggregate, never lost.",
    )
    .version(version)
    .addHelpText(
      "after",
      `\nExit codes: ${exitCodes.ok} done, ${exitCodes.failed} failed, ${exitCodes.usage} wrong usage, ${exitCodes.unavailable} PostgreSQL or Kafka away, ${exitCodes.bug} a bug, ${exitCodes.refused} refused (settings, rights, schema), 130/143 second signal.`,
    );
  for (const command of [
    migrateCommand(),
    relayCommand(),
    statusCommand(),
    blockedCommand(),
    deadLettersCommand(),
    verifyCommand(),
    doctorCommand(),
    topCommand(),
    grantsCommand(),
    configCommand(),
    demoCommand(),
    benchCommand(),
  ])
    root.addCommand(command);
  root.addCommand(benchLoopCommand(), { hidden: true });
  for (const command of [root, ...root.commands, ...root.commands.flatMap(({ commands }) => commands)])
    command.exitOverride().showHelpAfterError("(--help shows what there is)");
  return root;
}

// A reader that has seen enough (`outrider config | head`) is no fault of anybody's.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

try {
  await program().parseAsync(process.argv);
} catch (error) {
  // Commander has already said what was wrong.
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  else process.exitCode = reportError(error);
}

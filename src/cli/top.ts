import { Command } from "commander";
export function topCommand(): Command {
  return new Command("top");
}

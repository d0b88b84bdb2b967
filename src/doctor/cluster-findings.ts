/** What is wrong with the brokers as a whole, and with the rights that exactly-once needs. */
import type { KafkaFacts, TransactionFacts } from "./cluster-facts.ts";
import type { Finding } from "./finding.ts";
import { aclCommand } from "./repair-commands.ts";
import type { Settings } from "./settings.ts";

const replicasWanted = 3;

export function clusterFindings(
  { bootstrap, brokers, transactions }: KafkaFacts,
  settings: Settings,
): Finding[] {
  const findings: Finding[] = [];
  for (const { address, trouble } of bootstrap) {
    if (trouble === null) continue;
    findings.push({
      code: "broker-unreachable",
      severity: "warning",
      message: `nobody answers at ${address}, which KAFKA_BROKERS names: ${trouble}`,
      repair: `export KAFKA_BROKERS=${bootstrap
        .filter((each) => each.trouble === null)
        .map((each) => each.address)
        .join(",")}`,
    });
  }
  for (const { address, trouble } of brokers) {
    if (trouble === null || bootstrap.some((each) => each.address === address)) continue;
    findings.push({
      code: "broker-advertised-unreachable",
      severity: "error",
      message: `a broker says that it is at ${address}, and nobody answers there: ${trouble}. Clients are sent to that address, whatever KAFKA_BROKERS says`,
      repair:
        "start that broker, or correct its advertised.listeners to an address that is reachable from here",
    });
  }
  if (brokers.length < replicasWanted) {
    findings.push({
      code: "brokers-few",
      severity: "warning",
      message: `there ${brokers.length === 1 ? "is one broker" : `are ${brokers.length} brokers`}: with its disk every event on it is lost that consumers have not read`,
      repair: "run at least three brokers, with replication factor 3 and min.insync.replicas 2",
    });
  }
  return transactions === null ? findings : [...findings, ...transactionFindings(transactions, settings)];
}

function transactionFindings(facts: TransactionFacts, settings: Settings): Finding[] {
  const { transactionalIdTrouble, groupTrouble, transactionalIdPrefix, timeoutMsMax } = facts;
  const findings: Finding[] = [];
  if (transactionalIdTrouble !== null) {
    findings.push({
      code: "transactional-id-forbidden",
      severity: "error",
      message: `exactly-once: this login may not use the transactional.ids ${transactionalIdPrefix}-*: ${transactionalIdTrouble}`,
      repair: aclCommand(
        settings,
        ["Write", "Describe"],
        `--transactional-id ${transactionalIdPrefix} --resource-pattern-type prefixed`,
      ),
    });
  }
  if (groupTrouble !== null) {
    findings.push({
      code: "progress-group-forbidden",
      severity: "error",
      message: `exactly-once: this login may not keep its numbers in the group ${transactionalIdPrefix}: ${groupTrouble}`,
      repair: aclCommand(settings, ["Read", "Describe"], `--group ${transactionalIdPrefix}`),
    });
  }
  if (timeoutMsMax !== null && timeoutMsMax < settings.kafkaTransactionTimeoutMs) {
    findings.push({
      code: "transaction-timeout",
      severity: "error",
      message: `OUTRIDER_KAFKA_TRANSACTION_TIMEOUT_MS=${settings.kafkaTransactionTimeoutMs} is above the brokers' transaction.max.timeout.ms=${timeoutMsMax}: they refuse every transaction`,
      repair: `export OUTRIDER_KAFKA_TRANSACTION_TIMEOUT_MS=${timeoutMsMax}`,
    });
  }
  return findings;
}

/**
 * What no cluster and no container engine is needed to know about what ships for them: that it can be read,
 * that it sets no setting and asks for no metric that does not exist, and that nothing got softer.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  at,
  composeFile,
  documentsIn,
  knownMetrics,
  metricsIn,
  pathOf,
  settingNames,
  textOf,
} from "../../support/deployment.ts";

const http = ["OUTRIDER_HTTP_HOST", "OUTRIDER_HTTP_PORT"];
/** Settings in `variables` that the table of settings does not have. */
const unknownIn = (variables: readonly string[]): string[] => {
  const known = settingNames();
  return variables.filter(
    (variable) => !known.has(variable) && !(http.includes(variable) && knownMetrics() === undefined),
  );
};

describe("Dockerfile", () => {
  const text = textOf("Dockerfile");
  const stages = text.split(/^(?=FROM )/m).slice(1);
  const relay = stages.find((stage) => / AS relay$/m.test(stage)) ?? "";

  it("builds on Node 24, with the lock file, running no script of a dependency", () => {
    expect(
      stages.filter((stage) => /^FROM node:/.test(stage)).every((stage) => stage.startsWith("FROM node:24-")),
    ).toBe(true);
    const installs = text.match(/npm (ci|install|i) .*/g) ?? [];
    expect(installs).toHaveLength(2);
    for (const install of installs) expect(install).toMatch(/^npm ci .*--ignore-scripts/);
    expect(stages.find((stage) => / AS dependencies$/m.test(stage))).toContain("--omit=dev");
  });

  it("ends as somebody who is not root, by number, with a process that gets the signals", () => {
    expect(relay).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
    expect(relay).toMatch(/^ENTRYPOINT \["node", /m);
    expect(relay).not.toMatch(/--chown|chmod|^RUN /m);
    expect(text).not.toMatch(/^(ARG|ENV) .*(PASSWORD|SECRET|TOKEN|DATABASE_URL)/im);
    // Last, so that it is what a build without a target makes.
    expect(stages.at(-1)).toBe("FROM relay\n");
  });

  it("takes everything that npm would ship, and its context has everything that it takes", () => {
    const shipped = (JSON.parse(textOf("package.json")) as { files: readonly string[] }).files;
    for (const path of shipped) expect(relay).toMatch(new RegExp(`^COPY .*\\b${path}\\b`, "m"));
    const context = new Set(textOf(".dockerignore").match(/(?<=^!).+/gm));
    for (const [, paths = ""] of text.matchAll(/^COPY (?!--from)(.+) \S+$/gm))
      for (const path of paths.split(" ")) expect(context).toContain(path.split("/")[0]);
  });
});

describe("docker-compose.yml", () => {
  const compose = composeFile();
  const services = at(compose, "services") as Readonly<Record<string, unknown>>;
  const own = ["migrate", "relay", "second-relay", "orders", "billing"];

  it("has every service that another one needs", () => {
    for (const [name, service] of Object.entries(services)) {
      for (const [needed, how] of Object.entries((at(service, "depends_on") ?? {}) as object)) {
        expect(services, `${name} needs ${needed}`).toHaveProperty(needed);
        if (at(how, "condition") === "service_healthy")
          expect(at(services[needed], "healthcheck.test")).toBeDefined();
      }
      for (const volume of (at(service, "volumes") ?? []) as string[])
        expect(at(compose, "volumes")).toHaveProperty(volume.split(":")[0] ?? "");
    }
  });

  it("sets nothing that is no setting", () => {
    for (const name of ["migrate", "relay", "second-relay"]) {
      const variables = Object.keys(at(services[name], "environment") as object);
      expect(variables.length).toBeGreaterThan(2);
      expect(unknownIn(variables)).toEqual([]);
    }
  });

  it("runs what is ours read-only and with no capability, and publishes ports to this machine only", () => {
    for (const name of own) {
      expect(services[name], name).toMatchObject({
        read_only: true,
        cap_drop: ["ALL"],
        security_opt: ["no-new-privileges:true"],
      });
      expect(services[name]).not.toHaveProperty("privileged");
    }
    for (const service of Object.values(services))
      for (const port of (at(service, "ports") ?? []) as string[]) expect(port).toMatch(/^127\.0\.0\.1:/);
  });

  it("makes the topics that the example services speak of", () => {
    expect(at(services, "topics.command")).toContain("outbox.event.order");
    expect(textOf("examples/services/billing.ts")).toContain("outbox.event.order");
  });
});

/** As `kubectl kustomize` puts it together; undefined where there is no kubectl. */
function built(directory: string): string | undefined {
  const { status, stdout, stderr, error } = spawnSync(
    "kubectl",
    ["kustomize", pathOf(`deploy/kubernetes/${directory}`)],
    { encoding: "utf8" },
  );
  if (error !== undefined) return undefined;
  expect(status, stderr).toBe(0);
  return stdout;
}
const hasKubectl = spawnSync("kubectl", ["version", "--client"]).error === undefined;

interface Container {
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly [field: string]: unknown;
}

const containersIn = (documents: readonly unknown[]): Container[] =>
  documents.flatMap((document) =>
    ["containers", "initContainers"].flatMap(
      (kind) => (at(document, `spec.template.spec.${kind}`) ?? []) as Container[],
    ),
  );

const relayFile = "deploy/kubernetes/relay/deployment.yaml";
const sidecarFile = "deploy/kubernetes/sidecar/sidecar.yaml";
const jobFile = "deploy/kubernetes/migrate/job.yaml";

describe("deploy/kubernetes", () => {
  it.each([relayFile, sidecarFile, jobFile])(
    "%s: not root, read-only, no capability, no secret in a value",
    (file) => {
      const text = textOf(file);
      const [container, ...others] = containersIn(documentsIn(text));
      expect(others).toEqual([]);
      expect(at(container, "securityContext")).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
      expect(text).toMatch(/runAsNonRoot: true/);
      expect(at(container, "resources.limits")).not.toHaveProperty("cpu");
      expect(at(container, "resources.limits.memory")).toBeDefined();
      for (const { name, value } of container?.env ?? []) {
        expect(unknownIn([name])).toEqual([]);
        if (/URL|PASSWORD/.test(name))
          expect([name, value]).toEqual([
            expect.stringMatching(/_FILE$/),
            expect.stringMatching(/^\/run\/secrets\//),
          ]);
      }
    },
  );

  it("sets nothing that is no setting, and encrypts", () => {
    const [settings] = documentsIn(textOf("deploy/kubernetes/settings/settings.yaml"));
    expect(unknownIn(Object.keys(at(settings, "data") as object))).toEqual([]);
    expect(at(settings, "data")).toMatchObject({
      OUTRIDER_DATABASE_SSLMODE: "verify-full",
      OUTRIDER_KAFKA_TLS: "true",
    });
  });

  it("gives a relay longer to stop than it takes at most", () => {
    const [settings] = documentsIn(textOf("deploy/kubernetes/settings/settings.yaml"));
    const stopMs = Number((at(settings, "data") as Record<string, string>).OUTRIDER_SHUTDOWN_TIMEOUT_MS);
    for (const file of [relayFile, sidecarFile]) {
      const [document] = documentsIn(textOf(file));
      expect(
        Number(at(document, "spec.template.spec.terminationGracePeriodSeconds")) * 1_000,
      ).toBeGreaterThan(stopMs + 5_000);
    }
  });

  it("probes what each place can bear", () => {
    const [own] = containersIn(documentsIn(textOf(relayFile)));
    const path = (container: unknown, probe: string) => at(container, `${probe}.httpGet.path`);
    expect(["startupProbe", "livenessProbe", "readinessProbe"].map((probe) => path(own, probe))).toEqual([
      "/livez",
      "/livez",
      "/readyz",
    ]);
    const [sidecar] = containersIn(documentsIn(textOf(sidecarFile)));
    expect(sidecar?.restartPolicy).toBe("Always");
    expect(path(sidecar, "livenessProbe")).toBe("/livez");
    // Either would make the application wait for Kafka.
    expect([sidecar?.readinessProbe, sidecar?.startupProbe]).toEqual([undefined, undefined]);
  });

  it("finds every file that a kustomization names, and names every file", () => {
    for (const directory of readdirSync(pathOf("deploy/kubernetes"))) {
      const files = readdirSync(pathOf(`deploy/kubernetes/${directory}`)).filter(
        (file) => file !== "kustomization.yaml",
      );
      const text = textOf(`deploy/kubernetes/${directory}/kustomization.yaml`);
      expect(documentsIn(text)).toHaveLength(1);
      for (const file of files) expect(text).toContain(file);
    }
  });

  it.runIf(hasKubectl)(
    "is put together by kubectl kustomize: own relays, the migration, and a sidecar in an application",
    () => {
      const kinds = (text: string | undefined) =>
        documentsIn(text ?? "").map((document) => at(document, "kind"));
      expect(kinds(built("relay")).sort()).toEqual([
        "ConfigMap",
        "Deployment",
        "PodDisruptionBudget",
        "PodMonitor",
        "ServiceAccount",
      ]);
      expect(kinds(built("migrate"))).toEqual(["Job"]);
      const example = documentsIn(built("example") ?? "");
      const shop = example.find((document) => at(document, "kind") === "Deployment");
      const names = (kind: string) =>
        (at(shop, `spec.template.spec.${kind}`) as Container[]).map(({ name }) => name);
      expect([names("initContainers"), names("containers")]).toEqual([["outrider"], ["shop"]]);
      for (const { image } of [...containersIn(example), ...containersIn(documentsIn(built("relay") ?? ""))])
        expect(image).toMatch(/^registry\.example\/\w+:\d+\.\d+\.\d+$/);
    },
  );

  it("monitors the port that the relays have", () => {
    for (const file of ["relay/pod-monitor.yaml", "sidecar/pod-monitor.yaml"]) {
      const [monitor] = documentsIn(textOf(`deploy/kubernetes/${file}`));
      const [endpoint] = at(monitor, "spec.podMetricsEndpoints") as { readonly port: string }[];
      for (const owner of [relayFile, sidecarFile])
        expect(containersIn(documentsIn(textOf(owner)))[0]?.ports).toEqual([
          { name: endpoint?.port, containerPort: 9464 },
        ]);
    }
  });
});

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly { readonly expr: string }[];
}

describe("alerts and dashboard", () => {
  const [rulesFile] = documentsIn(textOf("deploy/prometheus/outrider.rules.yaml"));
  const rules = (at(rulesFile, "groups") as { readonly rules: readonly Rule[] }[]).flatMap(
    (group) => group.rules,
  );
  const dashboard = JSON.parse(textOf("deploy/grafana/outrider.json")) as {
    readonly panels: readonly Panel[];
  };
  const expressions = [
    ...rules.map(({ expr }) => expr),
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ];
  const metrics = knownMetrics();

  /** What an expression asks for and nobody would ever answer. */
  const wrongIn = (expression: string, known: ReadonlyMap<string, string>): string[] =>
    metricsIn(expression).filter((name) => {
      const base = name.replace(/_(bucket|sum|count)$/, "");
      return known.get(name) === undefined && known.get(base) !== "histogram";
    });

  it.runIf(metrics !== undefined)(
    "ask only for metrics that exist, counters by their growth and states as they are",
    () => {
      const known = metrics ?? new Map();
      for (const expression of expressions) {
        expect(wrongIn(expression, known), expression).toEqual([]);
        for (const name of metricsIn(expression))
          if (known.get(name) === "counter")
            expect(expression).toMatch(new RegExp(`(rate|increase)\\(${name}\\b`));
          else if (known.get(name) === "gauge")
            expect(expression).not.toMatch(new RegExp(`(rate|increase)\\(${name}\\b`));
      }
      expect(wrongIn("rate(outrider_never_total[5m]) + outrider_leases_held", known)).toEqual([
        "outrider_never_total",
      ]);
    },
  );

  it("are complete: a severity, a sentence and a section of the document for each alert", () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    const headings = new Set(
      (textOf("docs/deploy.md").match(/^#+ .+/gm) ?? []).map((heading) =>
        heading.replace(/^#+ /, "").toLowerCase(),
      ),
    );
    for (const { alert, labels, annotations } of rules) {
      expect(["critical", "warning"]).toContain(labels.severity);
      expect(annotations.summary, alert).toBeTruthy();
      expect(annotations.description, alert).toBeTruthy();
      expect(annotations.runbook).toBe(`docs/deploy.md#${alert.toLowerCase()}`);
      expect(headings).toContain(alert.toLowerCase());
    }
  });

  it("have balanced expressions, each with a metric of ours", () => {
    for (const expression of expressions) {
      expect(metricsIn(expression).length, expression).toBeGreaterThan(0);
      for (const [open, close] of ["()", "[]", "{}"].map((pair) => [...pair] as [string, string]))
        expect(expression.split(open).length).toBe(expression.split(close).length);
    }
  });

  it("has panels that overlap with none and have ids of their own", () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const [n, { gridPos: a }] of panels.entries()) {
      expect(a.x + a.w).toBeLessThanOrEqual(24);
      for (const { gridPos: b } of panels.slice(n + 1))
        expect(a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y).toBe(true);
    }
  });
});

describe("package.json", () => {
  it("publishes with provenance, and can say what is in it", () => {
    expect(JSON.parse(textOf("package.json"))).toMatchObject({
      publishConfig: { access: "public", provenance: true },
      scripts: { sbom: "tsx scripts/write-sbom.ts" },
    });
  });
});

import pg from "/work/main/node_modules/pg/lib/index.js";
import fs from "node:fs";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Stage } from "/work/main/test/bench/stage.ts";
import { relayEnvironment } from "/work/main/test/bench/relay-run.ts";
import { processorMicros } from "/work/main/test/bench/processor-time.ts";
import { measureLatency } from "/work/main/test/bench/latency-run.ts";
// drain.mts events rounds spec...   spec = dir|delivery|batch
const [eventsText, rounds, ...specs] = process.argv.slice(2);
const events = Number(eventsText);
const stage = await Stage.open(false, () => {});
const start = (dir: string, place: any, delivery: any, env: any, onLine: (o: any) => void) => {
  const child = spawn(process.execPath, [`${dir}/bin/outrider.js`, "relay"], { env: { PATH: process.env.PATH, NODE_ENV: "test", ...relayEnvironment(place, delivery), ...env }, stdio: ["ignore", "pipe", "inherit"] });
  createInterface({ input: child.stdout! }).on("line", (l) => { try { onLine(JSON.parse(l)); } catch {} });
  return child;
};
const ending = (child: any) => new Promise((r) => { child.on("exit", r); child.kill("SIGTERM"); });
try {
  const empty = await stage.fill({ events: 0, aggregates: 1000, payloadBytes: 300 });
  for (let w = 0; w < Number(process.env.WARM ?? 2); w++) await stage.within(empty, async (place) => {
    await measureLatency(place, { eventsPerSecond: 1000, eventsPerTransaction: 4, seconds: 15, aggregates: 1000, payloadBytes: 300 }, () => {
      let ok: any; const started = new Promise((r) => (ok = r));
      const child = start(specs[0]!.split("|")[0]!, place, "exactly-once", { OUTRIDER_LOG_LEVEL: "info" }, (o) => { if (o.event === "relay-started") ok(); });
      return { started, pid: async () => child.pid!, end: () => ending(child) } as any;
    });
  });
  const template = await stage.fill({ events, aggregates: 1000, payloadBytes: 300 });
  for (let r = 0; r < Number(rounds); r++) for (const spec of r % 2 ? [...specs].reverse() : specs) await stage.within(template, async (place) => {
    const [dir, delivery, batch] = spec.split("|");
    const c = new pg.Client({ connectionString: place.databaseUrl }); await c.connect();
    const io = async () => (await c.query("select (select blks_read from pg_stat_database where datname = current_database())::int as read, (select sum(writes) from pg_stat_io)::int as writes, wal_bytes::bigint::text as wal, wal_fpi::int as fpi from pg_stat_wal")).rows[0];
    let removed = 0, done: any, go: any; const fin = new Promise((x) => (done = x)), started = new Promise((x) => (go = x));
    let batches = 0; let resp = 0; const lines: any[] = [];
    const child = start(dir!, place, delivery, { OUTRIDER_BATCH_EVENTS_MAX: batch, OUTRIDER_LOG_LEVEL: "debug" }, (o) => { lines.push(o); if (o.event === "relay-started") go(); if (o.event === "batch-published") batches++; if (o.event === "batch-removed") { removed += o.events; if (removed >= events) done(); } });
    await started;
    const a = { ...stage.processorMicros(), relay: processorMicros(child.pid!) }, ia = await io(), t = performance.now();
    const names: any = {}; const cpu: any = {};
    const tick = setInterval(async () => { try { for (const x of (await c.query("select pid, application_name as n from pg_stat_activity where application_name like 'outrider%'")).rows) names[x.pid] = x.n; for (const p of Object.keys(names)) cpu[p] = processorMicros(Number(p)); } catch {} }, 1000);
    await fin; clearInterval(tick);
    const s = (performance.now() - t) / 1000, b = { ...stage.processorMicros(), relay: processorMicros(child.pid!) };
    await c.query("select pg_stat_force_next_flush()"); await new Promise((x) => setTimeout(x, 1200)); const ib = await io();
    const per = (k: string) => (((b as any)[k] - (a as any)[k]) / events).toFixed(1);
    const parts: any = {}; for (const p of Object.keys(cpu)) parts[names[p].replace("outrider relay", "r")] = ((parts[names[p].replace("outrider relay", "r")] ?? 0) + cpu[p] / events); 
    console.log(`${r} ${spec}: ${Math.round(events / s)}/s relay ${per("relay")} pg ${per("postgres")} kafka ${per("kafka")} | batches ${batches} read ${ib.read - ia.read} writes ${ib.writes - ia.writes} walMB ${((Number(ib.wal) - Number(ia.wal)) / 1e6).toFixed(0)} fpi ${ib.fpi - ia.fpi} | ${Object.entries(parts).map(([k, v]: any) => `${k} ${v.toFixed(1)}`).join(", ")}`);
    await ending(child); await c.end();
  });
} finally { await stage.close(); }

import { describe, expect, it } from "vitest";
import { lineFields } from "../../../scripts/observability-reference.ts";
import { logListener, openLog } from "../../../src/observability/log.ts";
import { type IdStyle, idWriter, redactionOf, struckOut } from "../../../src/observability/redaction.ts";
import { Announcements } from "../../../src/relay/announcements.ts";
import { everyAnnouncement } from "../../support/every-announcement.ts";

function listening({ ids = "plain" as IdStyle, secrets = [] as string[] } = {}) {
  const lines: string[] = [];
  const redact = redactionOf(secrets);
  const stream = { write: (line: string) => void lines.push(line) };
  const log = openLog({ level: "debug", instance: "host-1", version: "1.2.3", redact }, stream);
  const announcements = new Announcements();
  announcements.subscribe(logListener(log, ids));
  const said = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { announcements, log, lines, said };
}

describe("the log", () => {
  it("writes each announcement as one line with the fields that are documented for every line", () => {
    const { announcements, said } = listening();
    const all = everyAnnouncement();
    for (const announcement of all) announcements.announce(announcement);
    expect(said().map(({ event }) => event)).toEqual(all.map(({ type }) => type));
    for (const line of said())
      expect(Object.keys(line)).toEqual(expect.arrayContaining(Object.keys(lineFields)));
  });

  it("writes nothing of a batch", () => {
    const { announcements, lines } = listening();
    for (const announcement of everyAnnouncement()) announcements.announce(announcement);
    expect(lines.join("")).not.toMatch(/canary (payload|header)|"batch"/);
  });

  it("writes ids as they are, as hashes, or not at all", () => {
    const written = (ids: IdStyle) => {
      const { announcements, lines } = listening({ ids });
      for (const announcement of everyAnnouncement()) announcements.announce(announcement);
      return lines.join("");
    };
    const hash = idWriter("hashed")("canary-aggregate") ?? "";
    expect(hash).toMatch(/^[0-9a-f]{12}$/);
    expect(written("plain")).toMatch(
      /"aggregateId":"canary-aggregate".*"eventIds":\["canary-event"\]|canary-event/,
    );
    expect(written("hashed")).toContain(`"aggregateId":"${hash}"`);
    for (const ids of ["hashed", "none"] as const)
      expect(written(ids)).not.toMatch(/canary-(aggregate|event)/);
    expect(written("none")).toContain('"eventIds":[]');
    expect(written("none")).not.toContain('"aggregateId"');
  });

  it("strikes secrets out of every text, wherever a driver has put them", () => {
    const secret = 'pass"word @1';
    const leaks = [secret, encodeURIComponent(secret)].map((form) => `cannot log in with ${form}`);
    const tell = (secrets: string[]) => {
      const { announcements, log, lines } = listening({ secrets });
      for (const message of leaks) announcements.announce({ type: "outbox-lost", message });
      for (const message of leaks) log.warn(message);
      log.warn({ password: secret, nested: { payload: secret } }, "by mistake");
      return lines.join("");
    };
    const forms = [...leaks.map((leak) => leak.slice(19)), JSON.stringify(secret).slice(1, -1)];
    expect(forms.filter((form) => tell([secret]).includes(form))).toEqual([]);
    expect(tell([secret])).toContain(`cannot log in with ${struckOut}`);
    // Without being told the secret it can only know the names of fields: the check above can fail.
    expect(forms.filter((form) => tell([]).includes(form))).not.toEqual([]);
    expect(tell([])).toContain(`"password":"${struckOut}"`);
  });

  it("does not look for secrets that occur in ordinary words", () => {
    expect(redactionOf(["a", null, "event"])("an event")).toBe("an event");
  });
});

/**
 * X.509 certificates made on the spot, good ones and every kind of bad one: DER written by hand, since
 * Node.js signs but does not write certificates, and command-line tools cannot all make an expired one.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";

const dayMs = 24 * 60 * 60_000;

export interface CertificateWish {
  /** The subject's common name. */
  readonly name: string;
  /** DNS names and IPv4 addresses that it is valid for. Default none: a client's certificate. */
  readonly hosts?: readonly string[];
  /** True: it was valid until yesterday. */
  readonly isExpired?: boolean;
}

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  /** PKCS #8, PEM, not encrypted. */
  readonly key: string;
}

export interface Authority {
  /** PEM. */
  readonly ca: string;
  issue(wish: CertificateWish): Certificate;
}

export function makeAuthority(name: string): Authority {
  const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const draft = { subject: name, issuer: name, publicKey: own.publicKey, isExpired: false };
  const ca = write({ ...draft, extensions: [basicConstraints(true), keyUsage] }, own.privateKey);
  return {
    ca,
    issue: ({ name: subject, hosts = [], isExpired = false }) => {
      const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const extensions = [basicConstraints(false), ...(hosts.length === 0 ? [] : [alternativeNames(hosts)])];
      const cert = write(
        { subject, issuer: name, publicKey: pair.publicKey, isExpired, extensions },
        own.privateKey,
      );
      return { cert, key: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
    },
  };
}

interface Draft {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly isExpired: boolean;
  readonly extensions: readonly Buffer[];
}

/** RFC 5280, section 4.1, signed with ECDSA and SHA-256. */
function write({ subject, issuer, publicKey, isExpired, extensions }: Draft, signer: KeyObject): string {
  const algorithm = sequence(oid("2a8648ce3d040302"));
  const nowMs = Date.now();
  const signed = sequence(
    element(0xa0, integer(Buffer.from([2]))),
    // A leading 1 keeps the number positive and its encoding the shortest.
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    algorithm,
    commonName(issuer),
    sequence(utcTime(nowMs - 30 * dayMs), utcTime(nowMs + (isExpired ? -dayMs : 30 * dayMs))),
    commonName(subject),
    publicKey.export({ type: "spki", format: "der" }),
    element(0xa3, sequence(...extensions)),
  );
  const der = sequence(signed, algorithm, bitString(sign("sha256", signed, signer)));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function element(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const head = length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

const sequence = (...contents: readonly Buffer[]): Buffer => element(0x30, ...contents);
const integer = (bytes: Buffer): Buffer => element(0x02, bytes);
const oid = (hex: string): Buffer => element(0x06, Buffer.from(hex, "hex"));
const bitString = (bytes: Buffer): Buffer => element(0x03, Buffer.from([0]), bytes);
const truth = element(0x01, Buffer.from([0xff]));

const commonName = (name: string): Buffer =>
  sequence(element(0x31, sequence(oid("550403"), element(0x0c, Buffer.from(name)))));

/** YYMMDDhhmmssZ. */
const utcTime = (ms: number): Buffer =>
  element(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replaceAll(/[-:T]/g, "")}Z`));

const extension = (id: string, isCritical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(isCritical ? [truth] : []), element(0x04, value));

const basicConstraints = (isAuthority: boolean): Buffer =>
  extension("551d13", true, sequence(...(isAuthority ? [truth] : [])));

/** keyCertSign and cRLSign. */
const keyUsage = extension("551d0f", true, element(0x03, Buffer.from([1, 0b0000_0110])));

const alternativeNames = (hosts: readonly string[]): Buffer =>
  extension(
    "551d11",
    false,
    sequence(
      ...hosts.map((host) =>
        isIP(host) === 4
          ? element(0x87, Buffer.from(host.split(".").map(Number)))
          : element(0x82, Buffer.from(host)),
      ),
    ),
  );

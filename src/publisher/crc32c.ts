/**
 * The checksum of a record batch (CRC-32C, Castagnoli), eight bytes a step: a table for each of the eight
 * places, made once. One byte a step, as it is usually written, costs more than all the rest of encoding.
 */
const polynomial = 0x82f63b78;
const places = 8;

const tables: readonly Int32Array[] = makeTables();

function makeTables(): Int32Array[] {
  const all = Array.from({ length: places }, () => new Int32Array(256));
  const [first] = all as [Int32Array];
  for (let byte = 0; byte < 256; byte += 1) {
    let rest = byte;
    for (let bit = 0; bit < 8; bit += 1) rest = (rest >>> 1) ^ (rest & 1 ? polynomial : 0);
    first[byte] = rest;
  }
  for (let place = 1; place < places; place += 1) {
    const [before, own] = [all[place - 1] as Int32Array, all[place] as Int32Array];
    for (let byte = 0; byte < 256; byte += 1) {
      const rest = before[byte] as number;
      own[byte] = (rest >>> 8) ^ (first[rest & 0xff] as number);
    }
  }
  return all;
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

/** The checksum of `bytes[from..until)`, as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, from: number, until: number): number {
  let crc = -1;
  let at = from;
  for (const last = until - 8; at <= last; at += 8) {
    const low =
      crc ^
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24));
    crc =
      (t7[low & 0xff] as number) ^
      (t6[(low >>> 8) & 0xff] as number) ^
      (t5[(low >>> 16) & 0xff] as number) ^
      (t4[low >>> 24] as number) ^
      (t3[bytes[at + 4] as number] as number) ^
      (t2[bytes[at + 5] as number] as number) ^
      (t1[bytes[at + 6] as number] as number) ^
      (t0[bytes[at + 7] as number] as number);
  }
  for (; at < until; at += 1) crc = (crc >>> 8) ^ (t0[(crc ^ (bytes[at] as number)) & 0xff] as number);
  return (crc ^ -1) >>> 0;
}

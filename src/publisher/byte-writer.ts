/**
 * Bytes in Kafka's encoding, one after the other into one buffer. `reserve` makes room; everything else
 * relies on it, so that the writing of a record does not ask for room eight times.
 */
export class ByteWriter {
  bytes: Buffer;
  at = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size);
  }

  get written(): Buffer {
    return this.bytes.subarray(0, this.at);
  }

  reserve(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.at + size));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }

  int8(value: number): void {
    this.bytes[this.at] = value;
    this.at += 1;
  }

  int16(value: number): void {
    this.at = this.bytes.writeInt16BE(value, this.at);
  }

  int32(value: number): void {
    this.at = this.bytes.writeInt32BE(value, this.at);
  }

  int64(value: bigint): void {
    this.at = this.bytes.writeBigInt64BE(value, this.at);
  }

  /** A text with its length in front, as in the fixed part of a request; null has the length -1. */
  string(value: string | null): void {
    const size = value === null ? -1 : Buffer.byteLength(value);
    this.reserve(size + 2);
    this.int16(size);
    if (value !== null) this.at += this.bytes.write(value, this.at);
  }

  /** A signed number of any size that a double holds exactly: small ones take one byte. */
  varint(value: number): void {
    let rest = value < 0 ? -2 * value - 1 : 2 * value;
    while (rest >= 128) {
      this.bytes[this.at] = (rest % 128) + 128;
      this.at += 1;
      rest = Math.floor(rest / 128);
    }
    this.bytes[this.at] = rest;
    this.at += 1;
  }

  /**
   * A text with its length in front, inside of a record. Nearly all of them are short and plain, and for
   * those a loop is several times faster than a call into Node's own encoder.
   */
  varintText(text: string): void {
    const { length } = text;
    if (length < 64) {
      const { bytes, at } = this;
      let n = 0;
      for (; n < length; n += 1) {
        const code = text.charCodeAt(n);
        if (code > 127) break;
        bytes[at + 1 + n] = code;
      }
      if (n === length) {
        bytes[at] = 2 * length;
        this.at = at + 1 + length;
        return;
      }
    }
    this.varint(Buffer.byteLength(text));
    this.at += this.bytes.write(text, this.at);
  }

  /** `size`: what the value takes in UTF-8. */
  varintValue(value: string | Uint8Array, size: number): void {
    this.varint(size);
    if (typeof value === "string") this.bytes.write(value, this.at, size);
    else this.bytes.set(value, this.at);
    this.at += size;
  }
}

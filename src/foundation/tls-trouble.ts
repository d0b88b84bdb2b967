/** Codes of Node.js and OpenSSL that say: no trust, or no TLS at all, and that will not change by itself. */
const codes = /CERT|^ERR_SSL_|^ERR_TLS_|SELF_SIGNED|UNABLE_TO_VERIFY/;

/** Whether this `code` of an error says that TLS was refused, by us or by the other side. */
export function isTlsTrouble(code: unknown): boolean {
  return typeof code === "string" && codes.test(code);
}

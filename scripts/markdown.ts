/** A page of Markdown with parts between markers that are made from tables of the code. */

/** A line of a Markdown table; a bar inside a cell would end it. */
export function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

/** The page with every part as it should be. @throws Error when a marker is missing. */
export function withParts(page: string, parts: Readonly<Record<string, () => string>>): string {
  return Object.entries(parts).reduce((text, [name, render]) => {
    const [begin, end] = [`<!-- ${name}: generated -->\n`, `\n<!-- ${name}: end -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from === -1 || to < from) throw new Error(`there are no markers for "${name}"`);
    return text.slice(0, from + begin.length) + render() + text.slice(to);
  }, page);
}

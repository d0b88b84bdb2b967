/** A bar chart as SVG text, pure: groups of bars, each with the span between its lowest and highest round. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
}

export interface BarGroup {
  readonly label: string;
  readonly bars: readonly Bar[];
}

export interface Plot {
  readonly title: string;
  /** What the values are: "events a second". */
  readonly unit: string;
  readonly groups: readonly BarGroup[];
}

const height = 320;
const margin = { left: 70, right: 20, top: 60, bottom: 40 };
const barWidth = 36;
const gapWidth = 30;
// Apart for readers who do not see red and green apart, and on paper.
const colours = ["#0b6e99", "#e08e0b", "#7a7a7a", "#4c9f70"];

export function plotBars({ title, unit, groups }: Plot): string {
  const labels = [...new Set(groups.flatMap(({ bars }) => bars.map(({ label }) => label)))];
  const inner = groups.reduce((sum, { bars }) => sum + bars.length * barWidth + gapWidth, gapWidth);
  const width = margin.left + Math.max(inner, 420) + margin.right;
  const top = niceCeiling(Math.max(...groups.flatMap(({ bars }) => bars.map(({ max }) => max))));
  const floor = height - margin.bottom;
  const yOf = (value: number) => floor - (value / top) * (floor - margin.top);
  const parts = [text(margin.left, 20, title, 'font-weight="bold"')];
  labels.forEach((label, at) => {
    const x = margin.left + at * 140;
    parts.push(
      `<rect x="${x}" y="32" width="10" height="10" fill="${colourOf(at)}"/>`,
      text(x + 14, 41, label),
    );
  });
  for (let line = 0; line <= 4; line += 1) {
    const value = (top * line) / 4;
    const y = yOf(value).toFixed(1);
    parts.push(
      `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y}" y2="${y}" stroke="#ddd"/>`,
      text(margin.left - 6, Number(y) + 4, shown(value), 'text-anchor="end"'),
    );
  }
  let x = margin.left + gapWidth;
  for (const { label, bars } of groups) {
    const middle = x + (bars.length * barWidth) / 2;
    parts.push(text(middle, height - 18, label, 'text-anchor="middle"'));
    for (const bar of bars) {
      parts.push(...drawBar(bar, x, yOf, colourOf(labels.indexOf(bar.label))));
      x += barWidth;
    }
    x += gapWidth;
  }
  parts.push(text(margin.left - 60, height - 4, unit, 'fill="#555"'));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="white"/>',
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function drawBar(
  { value, min, max }: Bar,
  x: number,
  yOf: (value: number) => number,
  colour: string,
): string[] {
  const middle = x + barWidth / 2 - 2;
  return [
    `<rect x="${x}" y="${yOf(value).toFixed(1)}" width="${barWidth - 4}" height="${(yOf(0) - yOf(value)).toFixed(1)}" fill="${colour}"/>`,
    `<line x1="${middle}" x2="${middle}" y1="${yOf(max).toFixed(1)}" y2="${yOf(min).toFixed(1)}" stroke="#222"/>`,
    text(middle, yOf(max) - 5, shown(value), 'text-anchor="middle" font-size="10"'),
  ];
}

/** The first round number that is not below: 1, 2 or 5 times a power of ten. */
export function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((candidate) => candidate * power >= value) ?? 10;
  return step * power;
}

const colourOf = (at: number): string => colours[at % colours.length] as string;

function shown(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : String(Math.round(value * 10) / 10);
}

function text(x: number, y: number, content: string, attributes = ""): string {
  const safe = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" ${attributes}>${safe}</text>`;
}

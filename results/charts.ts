/**
 * Curves as SVG charts for docs/results.md: a line for each run, runs of one experiment in one colour. Drawn by
 * report.ts; no browser and no library is needed to look at them or to draw them.
 */
export interface Line {
  readonly label: string;
  /** Lines of one group share a colour and a place in the legend. */
  readonly group: number;
  /** One value for each epoch, from the first on. */
  readonly values: readonly number[];
  readonly dashed?: boolean;
}

export interface Chart {
  readonly title: string;
  readonly axis: string;
  /** Bounds of the axis; by default those of the values, rounded outward. */
  readonly low?: number;
  readonly high?: number;
  readonly lines: readonly Line[];
}

/** Okabe and Ito's colours, which eyes that see few colours can tell apart. */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];

const width = 640;
const plot = { left: 56, top: 56, right: 16, height: 240 };
const lineHeight = 18;
/** Characters of a label of which two fit beside one another, in any sans serif. */
const longestInColumn = 30;

/** 1, 2 or 5 times a power of ten, so that about `count` steps span the range. */
export function tickStep(range: number, count: number): number {
  const rough = range / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const round = (value: number): string => String(Math.round(value * 10) / 10);

/** The chart as the text of an SVG file. */
export function draw(chart: Chart): string {
  const { lines, title, axis } = chart;
  const values = lines.flatMap((line) => line.values);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const step = tickStep((chart.high ?? most) - (chart.low ?? least) || 1, 5);
  const low = chart.low ?? Math.floor(least / step) * step;
  const high = chart.high ?? (Math.ceil(most / step) * step || step);
  const epochs = Math.max(2, ...lines.map((line) => line.values.length));
  const span = width - plot.left - plot.right;
  const x = (epoch: number) => plot.left + ((epoch - 1) / (epochs - 1)) * span;
  const y = (value: number) =>
    plot.top + plot.height * (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low));
  const parts: string[] = [];
  const text = (at: { x: number; y: number }, content: string, more = '') =>
    parts.push(`<text x="${round(at.x)}" y="${round(at.y)}" ${more}>${escape(content)}</text>`);

  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  for (let value = low; value <= high + step / 1e3; value += step) {
    parts.push(`<path d="M${plot.left} ${round(y(value))}H${width - plot.right}" class="grid"/>`);
    text({ x: plot.left - 8, y: y(value) + 4 }, value.toFixed(decimals), 'text-anchor="end"');
  }
  const stride = Math.max(1, tickStep(epochs - 1, 8));
  for (let epoch = 1; epoch <= epochs; epoch++) {
    if (epoch !== 1 && epoch % stride !== 0) continue;
    text({ x: x(epoch), y: plot.top + plot.height + 18 }, String(epoch), 'text-anchor="middle"');
  }
  text({ x: 14, y: 20 }, title, 'class="title"');
  text({ x: plot.left + span / 2, y: plot.top + plot.height + 36 }, 'epoch', 'text-anchor="middle"');
  text({ x: 14, y: plot.top - 14 }, axis);

  for (const { group, values: points, dashed } of lines) {
    const colour = colours[group % colours.length]!;
    const path = points.map((value, i) => `${i === 0 ? 'M' : 'L'}${round(x(i + 1))} ${round(y(value))}`).join('');
    parts.push(`<path d="${path}" stroke="${colour}"${dashed ? ' stroke-dasharray="5 4"' : ''} class="line"/>`);
  }
  const legend = new Map(lines.map((line) => [`${line.group} ${line.label}`, line]));
  const legendTop = plot.top + plot.height + 58;
  const columns = [...legend.values()].some(({ label }) => label.length > longestInColumn) ? 1 : 2;
  [...legend.values()].forEach(({ label, group, dashed }, i) => {
    const at = { x: plot.left + (i % columns) * (span / columns), y: legendTop + Math.floor(i / columns) * lineHeight };
    const colour = colours[group % colours.length]!;
    const dash = dashed ? ' stroke-dasharray="5 4"' : '';
    parts.push(`<path d="M${round(at.x)} ${round(at.y - 4)}h24" stroke="${colour}"${dash} class="line"/>`);
    text({ x: at.x + 32, y: at.y }, label);
  });
  const height = legendTop + (Math.ceil(legend.size / columns) - 1) * lineHeight + 14;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    '<style>text{font:13px sans-serif;fill:#222}.title{font-weight:bold}.grid{stroke:#ddd;fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}</style>',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

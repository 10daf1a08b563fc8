/**
 * The GPU section of docs/benchmarks.md: written from what bench/gpu.ts measured, and put in the place of the one before.
 * Nothing in it is entered by hand.
 */
import { median, spread } from './workload';

/** What the conformance suite said of an engine on this machine's GPU. */
export interface Checked {
  readonly engine: string;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly passed: number;
  /** Full names of the tests that failed. */
  readonly failures: readonly string[];
  /** Networks whose figures at their usual size agree with PyTorch's, by id; and those that do not. */
  readonly agree: readonly string[];
  readonly disagree: readonly string[];
}

/** Images per second of one contestant, one figure for each pair. */
export interface Contestant {
  readonly title: string;
  /** Whether it is one of ConvLab's engines, with which the others are compared. */
  readonly own: boolean;
  readonly rates: readonly number[];
}

/** A network's training step, by contestants that took turns. */
export interface Race {
  /** With the batch, such as “LeNet-5, 64”. */
  readonly title: string;
  readonly contestants: readonly Contestant[];
}

export interface GpuFigures {
  /** Processor and Node.js. */
  readonly machine: string;
  readonly checked: readonly Checked[];
  /** GPU that PyTorch computed on, with PyTorch's version. */
  readonly pytorch?: string;
  readonly races: readonly Race[];
  /** What was not measured and why, in whole sentences. */
  readonly unmeasured: readonly string[];
}

const rate = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en').replaceAll(',', ' ') : value.toPrecision(3);

/** The section, from its heading to its last line. */
export function gpuSection({ machine, checked, pytorch, races, unmeasured }: GpuFigures): string {
  const parts = [
    '## GPU',
    `\`npm run bench -- gpu --write\` on ${machine}${pytorch ? `, beside ${pytorch}` : ''}. A step is copying the batch to the GPU, forward, backward, Adam and reading the loss, at 224 px (LeNet-5 at 32). Medians over processes that took turns; ratios are ConvLab's images per second over PyTorch's, pair by pair, with their range.`,
    ...checked.map(verdict),
  ];
  const rows = table(races);
  if (rows) parts.push(rows);
  parts.push(...unmeasured.map((sentence) => `Unmeasured: ${sentence}`));
  return parts.join('\n\n');
}

function verdict({ engine, device, versions, passed, failures, agree, disagree }: Checked): string {
  const libraries = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const suite =
    failures.length === 0
      ? `all ${passed} tests of the conformance suite pass`
      : `${failures.length} of ${passed + failures.length} tests of the conformance suite FAIL (${failures.join('; ')})`;
  const figures = [
    agree.length > 0 ? `PyTorch's and Keras's figures hold for ${agree.join(', ')}` : '',
    disagree.length > 0 ? `they DO NOT hold for ${disagree.join(', ')}` : '',
  ].filter(Boolean);
  return `\`${engine}\` on ${device} (${libraries.join(', ')}): ${[suite, ...figures].join('; ')}.`;
}

/** One row for each network and one column for each contestant; undefined where nothing ran. */
function table(races: readonly Race[]): string | undefined {
  const titles = [...new Set(races.flatMap(({ contestants }) => contestants.map(({ title }) => title)))];
  if (titles.length === 0) return undefined;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rows = races.map(({ title, contestants }) => {
    const own = contestants.filter((contestant) => contestant.own);
    return line([
      title,
      ...titles.map((name) => {
        const contestant = contestants.find((c) => c.title === name);
        if (!contestant) return 'unmeasured';
        const told = rate(median(contestant.rates));
        if (contestant.own) return told;
        const ratios = own.map((c) => `${c.title} ${spread(c.rates.map((r, i) => r / contestant.rates[i]!))}`);
        return `${told}: ${ratios.join(', ')}`;
      }),
    ]);
  });
  const heading = ['network, batch', ...titles.map((title) => `${title}, images/s`)];
  return [line(heading), line(heading.map(() => '---')), ...rows].join('\n');
}

/** The page with `section` in the place of its section of the same heading. @throws Error where it has none */
export function withSection(page: string, section: string): string {
  const heading = section.split('\n', 1)[0]!;
  const lines = page.split('\n');
  const from = lines.indexOf(heading);
  if (from < 0) throw new Error(`The page has no section “${heading}”.`);
  const next = lines.findIndex((text, i) => i > from && text.startsWith('## '));
  const rest = next < 0 ? [] : lines.slice(next);
  return [...lines.slice(0, from), section, '', ...rest].join('\n');
}

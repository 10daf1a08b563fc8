/**
 * A run's settings as rows of a table, for the panel's Run tab: the resolved experiment flattened to the dotted paths
 * that experiment files and `--set` use, each marked if the course notes leave it open.
 */
import type { ResolvedExperiment } from '../core/experiment';

export interface SettingRow {
  /** Such as 'optimizer.learningRate'. */
  readonly path: string;
  readonly value: string;
  /** True where the course notes leave it open and the experiment's author chose. */
  readonly assumed: boolean;
}

/** Shown elsewhere in the panel, or no settings. */
const elsewhere = new Set(['$schema', 'id', 'title', 'chapter', 'question', 'assumed', 'preset']);

/** @param learningRate writes a number that may be small, such as 1e-4 */
export function settingRows(experiment: ResolvedExperiment, small: (value: number) => string): SettingRow[] {
  const rows: SettingRow[] = [];
  const visit = (path: string, value: unknown): void => {
    if (value === undefined) return;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value)) visit(`${path}.${key}`, inner);
      return;
    }
    rows.push({
      path,
      value: written(value, small),
      assumed: experiment.assumed.some((chosen) => path === chosen || path.startsWith(`${chosen}.`)),
    });
  };
  for (const [key, value] of Object.entries(experiment)) if (!elsewhere.has(key)) visit(key, value);
  return rows;
}

function written(value: unknown, small: (value: number) => string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isInteger(value) || value >= 0.01 ? String(value) : small(value);
  if (Array.isArray(value)) return value.map((item) => written(item, small)).join(' – ');
  return String(value);
}

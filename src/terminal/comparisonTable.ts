/**
 * A comparison of runs as lines for the terminal: a table of what was measured, and below it what the notes say of each
 * network. cli.ts prints it.
 */
import stringWidth from 'string-width';
import { accuracyOf, ComparedRun } from '../core/comparison';
import { Message, message } from '../core/messages/message';

const absent = '–';

/**
 * @param runs in the order in which they are to appear; at least one
 * @param t renders a message in the terminal's language
 */
export function comparisonTable(runs: readonly ComparedRun[], t: (message: Message) => string): string {
  const head = [
    message('columnNetwork'),
    message('columnExperiment'),
    message('columnStructure'),
    message('columnParameters'),
    message('columnAccuracy'),
    message('columnBest'),
    message('columnSecondsPerEpoch'),
  ].map(t);
  const rows = runs.map((run) => {
    const accuracy = accuracyOf(run, (value) => value.toFixed(4));
    return [
      run.network,
      `${run.experimentId} (${run.preset})`,
      t(run.structure),
      run.parameters.toLocaleString('en'),
      accuracy ? t(accuracy) : absent,
      run.bestValidationAccuracy?.toFixed(4) ?? absent,
      run.secondsPerEpoch?.toFixed(1) ?? absent,
    ];
  });
  const numeric = [3, 5, 6];
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => stringWidth(row[column]!))));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => {
        const space = ' '.repeat(widths[column]! - stringWidth(cell));
        return numeric.includes(column) ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd();
  const said = new Map(runs.flatMap(({ network, notes }) => (notes ? [[network, notes] as const] : [])));
  const notes = [...said].flatMap(([network, { difficulty, results, lesson }]) => [
    `${network}`,
    `  ${t(message('columnDifficulty'))}: ${t(difficulty)}`,
    `  ${t(message('columnResults'))}: ${t(results)}`,
    `  ${t(message('columnLesson'))}: ${t(lesson)}`,
  ]);
  return [
    line(head),
    line(widths.map((n) => '─'.repeat(n))),
    ...rows.map(line),
    ...(notes.length ? ['', ...notes] : []),
  ].join('\n');
}

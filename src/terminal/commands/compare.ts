/** `convlab compare`: the summary table of runs. */
import { ComparedRun, inCourseOrder, representatives } from '../../core/comparison';
import { message, UserError } from '../../core/messages/message';
import { comparedRun, listRuns, summarize } from '../../disk/runs';
import { Command, Exit, runNamed, runsFolderFrom } from '../command';
import { comparisonTable } from '../comparisonTable';
import { say, sayJson } from '../output';
import { t } from '../speech';

export const compare: Command = {
  argument: { name: '<run>', several: true },
  about: message('usageCompare'),
  options: ['runs', 'json'],
  run(names, values) {
    const runs = inCourseOrder(comparedRuns(names, runsFolderFrom(values)));
    if (values.json) {
      for (const run of runs) sayJson(run);
      return Exit.ok;
    }
    if (runs.length === 0) throw new UserError(message('compareNone'));
    say(comparisonTable(runs, t));
    return Exit.ok;
  },
};

/** The rows of the runs named, or of those that stand for each experiment of the runs folder. */
function comparedRuns(names: readonly string[], runsFolder: string): ComparedRun[] {
  if (names.length === 0) return representatives(listRuns(runsFolder).map(comparedRun));
  return names.map((name) => comparedRun(summarize(runNamed(name, runsFolder))));
}

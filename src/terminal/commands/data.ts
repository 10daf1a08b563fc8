/** `convlab data`: fetches a dataset, verifies it, and tells what it holds. */
import { datasetNames, datasetTitles } from '../../core/experiment';
import { message } from '../../core/messages/message';
import type { DatasetReport } from '../../core/contracts/tasks';
import { endError } from '../../trainerClient';
import { userFolder } from '../caller';
import { Command, Exit, folderOf, UsageError } from '../command';
import { Interruption } from '../interruption';
import { complain, say, sayJson } from '../output';
import { dataLine, t } from '../speech';
import { survey } from '../survey';

export const data: Command = {
  argument: { name: `<${datasetNames.join('|')}>`, required: () => true },
  about: message('usageData'),
  options: ['data', 'json'],
  works: true,
  run([name], values) {
    const dataset = datasetNames.find((d) => d === name);
    if (!dataset) throw new UsageError(message('datasetUnknown', { name: name!, known: datasetNames.join(', ') }));
    const request = { dataset, verify: true, dataFolder: folderOf(values.data), searchFolders: [userFolder()] };
    return Interruption.during(async (interruption) => {
      const end = await survey('dataset', request, interruption);
      if (end.kind === 'failed' || end.kind === 'crashed') throw endError(end);
      if (end.kind === 'stopped') return Exit.stopped;
      if (values.json) sayJson(end.result);
      else sayDataset(end.result);
      return Exit.ok;
    });
  },
};

function sayDataset({ dataset, provenance, folder, classes, parts, leftOut }: DatasetReport): void {
  const count = classes.reduce((n, c) => n + c.count, 0);
  const figures = { dataset: t(datasetTitles[dataset]), classes: classes.length, folder: folder ?? '–' };
  const names = classes.map((c) => `${c.name} ${c.count}`).join(', ');
  const { train, test } = parts;
  if (train !== undefined && test !== undefined) say(t(message('datasetVerified', { ...figures, train, test })));
  else say(t(message('imagesVerified', { ...figures, count, names, left: leftOut.count })));
  for (const reason of leftOut.reasons) complain(t(message('warningLine', { text: t(reason) })));
  say(dataLine(provenance));
}

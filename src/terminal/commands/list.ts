/** `convlab list`: the experiments there are. */
import * as path from 'node:path';
import stringWidth from 'string-width';
import { message } from '../../core/messages/message';
import { loadExperiments } from '../../disk/experimentFiles';
import { Command, Exit } from '../command';
import { complain, say, sayJson } from '../output';
import { sentence, t, translate } from '../speech';

/** Beside the folder of the bundled program. */
export const experimentsFolder = path.join(__dirname, '..', 'experiments');

export const list: Command = {
  about: message('usageList'),
  options: ['json'],
  run(_, { json }) {
    const files = loadExperiments(experimentsFolder);
    const rows = files.flatMap(({ experiment }) => (experiment ? [[experiment.id, translate(experiment.title)]] : []));
    const widths = [0, 1].map((column) => Math.max(0, ...rows.map((row) => stringWidth(row[column]!))));
    const cell = (text: string, column: number) => text + ' '.repeat(widths[column]! - stringWidth(text));
    for (const { experiment, error } of files) {
      if (error) {
        complain(t(message('warningLine', { text: sentence(error) })));
      } else if (json) {
        const { id, title, question, epochs, presets } = experiment;
        sayJson({ id, title, question, epochs, presets: ['course', ...Object.keys(presets)] });
      } else {
        const cells = [cell(experiment.id, 0), cell(translate(experiment.title), 1), translate(experiment.question)];
        say(cells.join('  ').trimEnd());
      }
    }
    return Exit.ok;
  },
};

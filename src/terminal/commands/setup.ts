/** `convlab setup tensorflow`: makes the native TensorFlow engine usable, or removes it. */
import * as path from 'node:path';
import { message } from '../../core/messages/message';
import { endError } from '../../trainerClient';
import { storageFolder } from '../../disk/places';
import { givenPath } from '../caller';
import { Command, Exit, UsageError } from '../command';
import { Interruption } from '../interruption';
import { complain, say } from '../output';
import { t } from '../speech';
import { survey } from '../survey';

export const setup: Command = {
  argument: { name: 'tensorflow', required: () => true },
  about: message('usageSetup'),
  options: ['python', 'remove'],
  works: true,
  run([what], values) {
    if (what !== 'tensorflow') {
      throw new UsageError(message('missingArgument', { command: 'setup', argument: 'tensorflow' }));
    }
    const { remove } = values;
    // A bare name is looked for on the PATH.
    const bare = values.python !== undefined && path.basename(values.python) === values.python;
    const python = values.python === undefined || bare ? values.python : givenPath(values.python);
    return Interruption.during(async (interruption) => {
      const request = { storage: storageFolder(), remove, python };
      const end = await survey('setup', request, interruption, { toldOnce: true });
      if (end.kind === 'failed' || end.kind === 'crashed') throw endError(end);
      if (end.kind === 'stopped') {
        complain(t(message('setupCancelled')));
        return Exit.stopped;
      }
      for (const text of end.result) say(t(text));
      return Exit.ok;
    });
  },
};

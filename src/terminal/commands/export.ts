/** `convlab export`: a trained network as a file for other programs. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { message, UserError } from '../../core/messages/message';
import { exportFormats, exportRun } from '../../trainer/weights/export';
import { givenPath } from '../caller';
import { Command, Exit, oneOf, runNamed, runsFolderFrom } from '../command';
import { say, sayJson, shown } from '../output';
import { t } from '../speech';

export const exportNetwork: Command = {
  argument: { name: '<run>', required: () => true },
  about: message('usageExport'),
  options: ['format', 'out', 'force', 'runs', 'json'],
  required: ['format'],
  works: true,
  async run([name], values) {
    const format = oneOf('format', values.format!, exportFormats);
    try {
      const run = runNamed(name!, runsFolderFrom(values));
      const file = givenPath(values.out ?? `${path.basename(run)}.${format}`);
      await mayBeWritten(file, values.force ?? false);
      exportRun(run, format, file);
      if (values.json) sayJson({ type: 'exported', file });
      else say(t(message('exported', { file })));
      return Exit.ok;
    } catch (error) {
      if (values.json && error instanceof UserError) {
        sayJson({ type: 'failed', message: error.userMessage, advice: error.advice });
      }
      throw error;
    }
  },
};

/**
 * Asks before a file is replaced, where there is somebody to ask.
 * @throws UserError where the file is not to be written: a device, a part of a run, a file that nobody gave up
 */
async function mayBeWritten(file: string, force: boolean): Promise<void> {
  const stats = fs.statSync(file, { throwIfNoEntry: false });
  if (stats && !stats.isFile()) throw new UserError(message('exportNoFile', { file }), message('exportElsewhere'));
  const run = runAround(stats ? fs.realpathSync(file) : file);
  if (run !== undefined) throw new UserError(message('exportIntoRun', { file, run }), message('exportElsewhere'));
  if (!stats || force) return;
  if (process.stdin.isTTY && process.stderr.isTTY) {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await terminal.question(shown(`${t(message('exportReplace', { file }))} `)).finally(() => {
      terminal.close();
    });
    if (/^\s*(y|yes|是|好)\s*$/i.test(answer)) return;
  }
  throw new UserError(message('exportExists', { file }), message('exportExistsAdvice'));
}

/** The run whose folder a file would lie in, at any depth. */
function runAround(file: string): string | undefined {
  let folder = path.dirname(file);
  if (fs.existsSync(folder)) folder = fs.realpathSync(folder);
  for (;;) {
    if (fs.existsSync(path.join(folder, 'run.json'))) return folder;
    const above = path.dirname(folder);
    if (above === folder) return undefined;
    folder = above;
  }
}

/** `convlab engines`: what can train here, how fast, and why the others cannot. */
import packageJson from '../../../package.json';
import { isMeasurable, speedWords } from '../../core/estimates';
import { message, threadsMessage } from '../../core/messages/message';
import { networkNames, networks } from '../../core/networks/catalog';
import type { EngineReport, NetworkSpeed } from '../../core/contracts/tasks';
import { endError } from '../../trainerClient';
import { reportEngines } from '../../trainer/tasks/engines';
import { Command, Exit, oneOf, threadsOf } from '../command';
import { Interruption } from '../interruption';
import { complain, say, sayJson } from '../output';
import { sentence, sentences, t } from '../speech';
import { survey } from '../survey';

export const engines: Command = {
  about: message('usageEngines'),
  options: ['measure', 'network', 'again', 'threads', 'json'],
  run: (_, values) =>
    Interruption.during(async (interruption) => {
      const threads = threadsOf(values);
      const chosen = values.network?.map((name) => oneOf('network', name, networkNames));
      const measuring = values.measure || values.network !== undefined || values.again;
      let status: number = Exit.ok;
      for (const report of await reportEngines({ threads }, packageJson.version)) {
        if (interruption.asked) return Exit.stopped;
        const measured = measuring && report.device !== undefined && isMeasurable(report);
        if (!values.json) sayEngine(report, !measured);
        if (!measured) {
          if (values.json) sayJson(report);
          continue;
        }
        const { engine } = report;
        const speeds: NetworkSpeed[] = [];
        const end = await survey(
          'measure',
          { engine, threads, networks: chosen, again: values.again ?? false },
          interruption,
          {
            onUpdate: (update) => {
              if (update.type === 'speed') {
                speeds.push(update.speed);
                if (!values.json) say(speedLine(update.speed));
              } else if (update.type === 'unmeasured') {
                const [network, why] = [networks[update.network].title, t(update.reason)];
                complain(t(message('warningLine', { text: t(message('unmeasuredLine', { network, reason: why })) })));
              }
            },
            words: (what) => t(message('measuringStops', { engine, what: t(what) })),
          },
        );
        if (values.json) sayJson({ ...report, speeds });
        if (end.kind === 'stopped') {
          complain(t(message('measuringStopped')));
          return Exit.stopped;
        }
        if (end.kind === 'failed' || end.kind === 'crashed') {
          complain(t(message('errorLine', { text: sentence(endError(end)) })));
          status = Exit.failed;
        }
      }
      return status;
    }),
};

/** @param withSpeeds whether what was measured earlier is told */
function sayEngine(report: EngineReport, withSpeeds: boolean): void {
  const { device, reason, notes = [], speeds } = report;
  [engineLine(report), ...notes.map((note) => `  ${t(note)}`)].forEach(say);
  if (!device) return;
  if (reason) say(`  ${t(reason)}`);
  if (!withSpeeds) return;
  speeds.forEach((speed) => say(speedLine(speed)));
  if (speeds.length === 0 && isMeasurable(report)) say(`  ${t(message('engineUnmeasured'))}`);
}

function engineLine({ engine, device, preferred, reason, action }: EngineReport): string {
  if (!device) {
    return t(message('engineUnusableLine', { engine, reason: sentences(reason!, action) }));
  }
  const words = [device.name, ...(device.threads === undefined ? [] : [t(threadsMessage(device.threads))])].join(', ');
  return t(message(preferred ? 'enginePreferredLine' : 'engineUsableLine', { engine, device: words }));
}

function speedLine({ shape, imagesPerSecond, exact }: NetworkSpeed): string {
  const { network, size, batchSize } = shape;
  const rate = speedWords(imagesPerSecond, (whole) => whole.toLocaleString('en'));
  return t(
    message(exact ? 'speedLine' : 'speedLineTold', { network: networks[network].title, size, batch: batchSize, rate }),
  );
}

/**
 * How the terminal speaks: messages in its language, a status line, and the two ways to show a run: lines and a progress
 * bar for a person, or one event per line for a program. `cli.ts` chooses.
 */
import * as l10n from '@vscode/l10n';
import * as path from 'node:path';
import { Message, message, plainArgs, textOf, UserError } from '../core/messages/message';
import type { DataProvenance, RunEvent, StartedEvent, StepEvent } from '../core/contracts/events';
import { readRecord } from '../disk/runs';

/** The message in the language of the terminal. */
export const t = ({ id, args }: Message): string => l10n.t(textOf(id) ?? id, plainArgs(args, t));
/** A text that comes from an experiment file: its title or question, translated where the bundles know it. */
export const translate = (english: string): string => l10n.t(english);
export const say = (text: string): boolean => process.stdout.write(`${text}\n`);
export const complain = (text: string): boolean => process.stderr.write(`${text}\n`);

/** What happened and what to do next. */
export const sentences = (what: Message, advice?: Message): string =>
  [what, ...(advice ? [advice] : [])].map(t).join(' ');
export const sentence = ({ userMessage, advice }: UserError): string => sentences(userMessage, advice);

/** Which data these are, in a sentence or two. */
export function dataLine({ title, source, terms, note }: DataProvenance): string {
  const used = t(message('dataUsed', { title, source, terms: t(terms) }));
  return note ? `${used} ${t(message('dataNote', { note: t(note) }))}` : used;
}

/** What `convlab train` tells of a run. */
export interface Display {
  run(folder: string): void;
  progress(text: Message): void;
  event(event: RunEvent): void;
  end(): void;
  failure(error: UserError, crashed: boolean): void;
}

/** One event per line on standard output. */
export class JsonDisplay implements Display {
  run(): void {}
  progress(): void {}
  event(event: RunEvent): void {
    say(JSON.stringify(event));
  }
  end(): void {}
  failure(error: UserError, crashed: boolean): void {
    // A trainer that crashed could not say so itself; a reader of the stream must still find an end.
    if (crashed) this.event({ type: 'failed', message: error.userMessage, advice: error.advice });
    complain(t(message('errorLine', { text: sentence(error) })));
  }
}

/** What is going on just now, on a terminal's last line; nothing where standard error is no terminal. */
export class StatusLine {
  readonly visible = process.stderr.isTTY === true;
  private shown = false;

  show(text: string): void {
    if (!this.visible) return;
    const width = (process.stderr.columns ?? 80) - 1;
    process.stderr.write(`\r\x1b[2K${[...text].slice(0, width).join('')}`);
    this.shown = true;
  }

  clear(): void {
    if (this.shown) process.stderr.write('\r\x1b[2K');
    this.shown = false;
  }
}

/** Lines for a person, with a progress bar where standard error is a terminal. */
export class PersonDisplay implements Display {
  private readonly status = new StatusLine();
  private started?: StartedEvent;
  private folder = '';

  run(folder: string): void {
    this.folder = folder;
    this.line(t(message('runNamed', { folder })));
  }

  progress(text: Message): void {
    this.status.show(t(text));
  }

  event(event: RunEvent): void {
    switch (event.type) {
      case 'started': {
        this.started = event;
        const { examples, parameterCount, engine, device, experiment } = event;
        this.line(
          t(
            message('trainingOn', {
              title: translate(experiment.title),
              parameters: parameterCount.toLocaleString('en'),
              engine,
              device,
              train: examples.train,
              validation: examples.validation,
              test: examples.test,
            }),
          ),
        );
        if (event.data) this.line(dataLine(event.data));
        for (const told of event.startedFrom ?? []) this.line(t(told));
        break;
      }
      case 'resumed':
        this.line(t(message('resumedLine', { epoch: event.epoch, step: event.step })));
        if (event.engine !== undefined) {
          const reasons = (event.engineReasons ?? []).map(t).join(' ');
          this.line(t(message('resumedOn', { engine: event.engine, device: event.device ?? '–', reasons })));
        }
        break;
      case 'step':
        if (this.status.visible && this.started) this.status.show(this.stepBar(event, this.started));
        break;
      case 'epoch': {
        const line = message('epochLine', {
          epoch: event.epoch,
          epochs: this.epochs(),
          trainLoss: event.trainLoss.toFixed(4),
          trainAccuracy: event.trainAccuracy.toFixed(4),
          validationAccuracy: event.validationAccuracy.toFixed(4),
        });
        const speed = message('epochSpeed', {
          seconds: event.seconds.toFixed(1),
          rate: Math.round(event.imagesPerSecond),
        });
        this.line(`${t(line)}  ${t(speed)}`);
        break;
      }
      case 'warning':
        this.status.clear();
        complain(t(message('warningLine', { text: t(event.message) })));
        break;
      case 'finished': {
        const accuracy = event.testAccuracy.toFixed(4);
        this.line(
          t(
            message('bestEpochLine', {
              accuracy: event.bestValidationAccuracy.toFixed(4),
              epoch: event.bestEpoch,
            }),
          ),
        );
        this.line(t(message(event.testedOnTestSet ? 'testAccuracyLine' : 'validationAccuracyLine', { accuracy })));
        break;
      }
      case 'stopped':
        this.line(t(message('stoppedLine', { run: path.relative('.', this.folder) || this.folder })));
        break;
      case 'failed':
        // Printed once, with its advice, when the process has ended.
        break;
    }
  }

  end(): void {
    this.status.clear();
  }

  failure(error: UserError): void {
    complain(t(message('errorLine', { text: sentence(error) })));
  }

  private epochs(): number | string {
    // A resumed run has told of its start in an earlier process; its record still knows.
    return this.started?.experiment.epochs ?? (this.folder ? readRecord(this.folder).experiment.epochs : '?');
  }

  private stepBar({ epoch, step, loss, imagesPerSecond, secondsLeft }: StepEvent, started: StartedEvent): string {
    const { epochs } = started.experiment;
    const share = ((epoch - 1) * started.stepsPerEpoch + step + 1) / (epochs * started.stepsPerEpoch);
    const filled = Math.round(share * 24);
    const seconds = Math.round(secondsLeft);
    const left = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    const words = message('progressLine', {
      epoch,
      epochs,
      loss: loss.toFixed(4),
      rate: Math.round(imagesPerSecond),
      left,
    });
    return `${'█'.repeat(filled)}${'░'.repeat(24 - filled)} ${t(words)}`;
  }

  private line(text: string): void {
    this.status.clear();
    say(text);
  }
}

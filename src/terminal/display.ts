/**
 * The two ways to show a run: lines and a progress bar for a person, or one event per line for a program. The command
 * `train` chooses.
 */
import { Message, message, UserError } from '../core/messages/message';
import type { RunEvent, StartedEvent, StepEvent } from '../core/contracts/events';
import { readHistory, readRecord } from '../disk/runs';
import { commandLine, shownPath } from './caller';
import { complain, say, sayJson } from './output';
import { dataLine, sentence, statusLine, t, translate } from './speech';

/** What `convlab train` tells of a run. */
export interface Display {
  run(folder: string): void;
  progress(text: Message): void;
  event(event: RunEvent): void;
  /** @param stopped whether somebody asked for it */
  end(stopped: boolean): void;
  failure(error: UserError, crashed: boolean): void;
}

/** One event per line on standard output. */
export class JsonDisplay implements Display {
  private toldOfStop = false;

  run(): void {}
  progress(): void {}
  event(event: RunEvent): void {
    this.toldOfStop ||= event.type === 'stopped';
    sayJson(event);
  }
  end(stopped: boolean): void {
    // A trainer that was stopped before it began says nothing; a reader of the stream must still find an end.
    if (stopped && !this.toldOfStop) this.event({ type: 'stopped', reason: 'user', epoch: 1, step: 0 });
  }
  failure(error: UserError, crashed: boolean): void {
    // A trainer that crashed could not say so itself; a reader of the stream must still find an end.
    if (crashed) this.event({ type: 'failed', message: error.userMessage, advice: error.advice });
    complain(t(message('errorLine', { text: sentence(error) })));
  }
}

/** Lines for a person, with a progress bar where standard error is a terminal. */
export class PersonDisplay implements Display {
  private readonly status = statusLine();
  private started?: StartedEvent;

  /** @param folder of the run that goes on; that of a new one is told by `run` */
  constructor(private folder?: string) {}

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
        // A run that goes on told of its start in an earlier process.
        if (this.folder !== undefined) this.started ??= readHistory(this.folder).started;
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
        // Told when the process has ended.
        break;
      case 'failed':
        // Printed once, with its advice, when the process has ended.
        break;
    }
  }

  end(stopped: boolean): void {
    this.status.clear();
    if (!stopped) return;
    if (this.folder === undefined) return void say(t(message('stoppedBeforeRun')));
    const command = commandLine(['train', '--resume', shownPath(this.folder)]);
    say(t(message('stoppedContinue', { command })));
  }

  failure(error: UserError): void {
    complain(t(message('errorLine', { text: sentence(error) })));
  }

  private epochs(): number | string {
    // A resumed run has told of its start in an earlier process; its record still knows.
    return (
      this.started?.experiment.epochs ?? (this.folder !== undefined ? readRecord(this.folder).experiment.epochs : '?')
    );
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

/**
 * “Set Up TensorFlow” and “Remove TensorFlow”: has a trainer process make native TensorFlow usable, or remove what that
 * made, in the extension's own storage, with progress, cancel and an end that says what there is now.
 */
import * as path from 'node:path';
import * as vscode from 'vscode';
import { Message, message } from '../core/messages/message';
import type { SetupRequest } from '../core/contracts/tasks';
import { endError, TrainerEnd, TrainerOptions } from '../trainerClient';
import { t } from './localize';
import type { Log } from './log';
import { underNotification } from './notification';
import { notify } from './show';
import { engineSetting, tensorflowPythonSetting, trainWith, workspaceFolders } from './settings';

/** Names that virtual environments commonly have inside a project. */
const environmentNames = ['.venv', 'venv'];

export class TensorflowSetup implements vscode.Disposable {
  private readonly commands: vscode.Disposable[];
  private atWork = false;

  /**
   * @param storage the extension's folder for what it installs
   * @param trainer how trainers are started; throws UserError where a setting is unusable
   * @param onChange TensorFlow may have come or gone
   */
  constructor(
    private readonly storage: string,
    private readonly trainer: () => TrainerOptions,
    private readonly onChange: () => void,
    private readonly log: Log,
  ) {
    this.commands = [
      log.command('convlab.setUpTensorflow', () => this.once(() => this.setUp())),
      log.command('convlab.removeTensorflow', () => this.once(() => this.remove())),
    ];
  }

  dispose(): void {
    this.commands.forEach((command) => command.dispose());
  }

  /** One at a time: two would download the same gigabyte, and the later would replace the earlier. */
  private async once(work: () => Promise<void>): Promise<void> {
    if (this.atWork) return void notify('information', t(message('setupAtWork')));
    this.atWork = true;
    try {
      await work();
    } finally {
      this.atWork = false;
      this.onChange();
    }
  }

  private async setUp(): Promise<void> {
    const end = await this.run(message('setupTitle'), {
      storage: this.storage,
      python: tensorflowPythonSetting(),
      // Their interpreter is run, so only the user's trust in the workspace lets them be asked.
      environments: vscode.workspace.isTrusted
        ? workspaceFolders().flatMap((folder) => environmentNames.map((name) => path.join(folder, name)))
        : [],
    });
    if (end.kind === 'stopped') return void notify('information', t(message('setupCancelled')));
    const use = t(message('setupUse'));
    // Where TensorFlow computes on the processor, “auto” goes on training with ONNX Runtime.
    const offer = engineSetting() === 'tensorflow' ? [] : [use];
    // Not awaited: the command ends when the setup does, whatever the user does with the notification.
    this.log.guard(async () => {
      if ((await notify('information', words(end.result), ...offer)) === use) {
        await trainWith('tensorflow');
      }
    });
  }

  private async remove(): Promise<void> {
    const end = await this.run(message('setupRemoving'), { storage: this.storage, remove: true });
    if (end.kind === 'finished') void notify('information', words(end.result));
  }

  /** @throws UserError that says why it failed */
  private async run(
    title: Message,
    request: SetupRequest,
  ): Promise<Extract<TrainerEnd<'setup'>, { kind: 'finished' | 'stopped' }>> {
    const end = await underNotification(
      t(title),
      'setup',
      request,
      // The user waits for it.
      { ...this.trainer(), lowPriority: false, graceMs: 20_000 },
      { onLog: (line) => this.log.info(`TensorFlow: ${line}`) },
      { cancellable: !request.remove },
    );
    if (end.kind === 'failed' || end.kind === 'crashed') throw endError(end);
    this.log.info(`TensorFlow: ${end.kind}`);
    return end;
  }
}

const words = (messages: readonly Message[]): string => messages.map(t).join(' ');

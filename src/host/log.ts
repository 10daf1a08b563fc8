/**
 * The log channel, and the one way in which an error reaches the user: a sentence in a notification, with the stack, if
 * it is a defect of ours, in the log. Every command runs through {@link Log.command}. What is written may hold words from
 * a folder: a line stays one line, and no character in it steers what shows it.
 */
import * as vscode from 'vscode';
import { english, message, UserError } from '../core/messages/message';
import { printable } from '../core/messages/plain';
import { errorSentence, sentence, t } from './localize';
import { notify } from './show';

export class Log implements vscode.Disposable {
  private readonly channel = vscode.window.createOutputChannel('ConvLab', { log: true });

  show(): void {
    this.channel.show(true);
  }

  info(text: string): void {
    this.channel.info(printable(text));
  }

  warn(text: string): void {
    this.channel.warn(printable(text));
  }

  /** @param stack lines that follow, such as a stack trace */
  error(text: string, stack?: string): void {
    this.channel.error(printable(text), ...(stack ? [printable(stack, 'lines')] : []));
  }

  /** Writes an error down and shows it; resolves at once, whatever the user does with the notification. */
  showError(error: unknown): void {
    let text: string;
    if (error instanceof UserError) {
      text = errorSentence(error);
      const { cause } = error;
      this.error(error.message, cause instanceof Error ? cause.stack : cause === undefined ? undefined : String(cause));
    } else {
      const reason = error instanceof Error ? error.message : String(error);
      const what = message('unexpectedError', { reason });
      text = sentence(what, message('unexpectedErrorAdvice'));
      this.error(english(what), error instanceof Error ? error.stack : undefined);
    }
    const showLog = t(message('buttonShowLog'));
    void notify('error', text, showLog).then((choice) => {
      if (choice === showLog) this.show();
    });
  }

  /** Runs something whose errors nobody awaits. */
  guard(work: () => unknown): void {
    void (async () => work())().catch((error: unknown) => this.showError(error));
  }

  /** Registers a command. Its promise settles when the handler is done; errors are shown, never thrown. */
  command(id: string, handler: (...args: unknown[]) => unknown): vscode.Disposable {
    return vscode.commands.registerCommand(id, async (...args: unknown[]) => {
      try {
        await handler(...args);
      } catch (error) {
        this.showError(error);
      }
    });
  }

  dispose(): void {
    this.channel.dispose();
  }
}

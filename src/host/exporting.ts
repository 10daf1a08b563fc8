/** Exports the network of a finished run to a file that the user names, and shows files where the window can. */
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { message, UserError } from '../core/messages/message';
import { printable } from '../core/messages/plain';
import { exportInProcess } from '../trainerClient';
import { t, translate } from './localize';
import type { RunLine } from './runList';
import { workspaceFolders } from './settings';
import { notify, withNotification } from './show';

/**
 * Asks for a file, whose extension decides the format, and writes it.
 * @param terminal the bundled `convlab`, dist/cli.js
 * @throws UserError that says why there is no file
 */
export async function exportNetwork(line: RunLine, terminal: string): Promise<void> {
  const chosen = await vscode.window.showSaveDialog({
    title: printable(`${t(message('exportTitle'))}: ${translate(line.record.experiment.title)}`),
    defaultUri: vscode.Uri.file(path.join(workspaceFolders()[0] ?? os.homedir(), `${line.name}.onnx`)),
    filters: { [t(message('exportFormatOnnx'))]: ['onnx'], [t(message('exportFormatPth'))]: ['pth'] },
  });
  if (!chosen) return;
  if (chosen.scheme !== 'file') throw new UserError(message('exportNotLocal', { uri: chosen.toString() }));
  const format = /\.pth?$/i.test(chosen.fsPath) ? 'pth' : 'onnx';
  await withNotification(t(message('exportRunning', { run: line.name })), false, () =>
    exportInProcess({ run: line.folder, format, out: chosen.fsPath }, terminal),
  );
  const show = t(message('buttonReveal'));
  const choice = await notify('information', t(message('exported', { file: chosen.fsPath })), show);
  if (choice === show) await reveal(chosen);
}

/** Shows a file or folder in the system's file manager, else in the explorer; else its path goes to the clipboard. */
export async function reveal(uri: vscode.Uri): Promise<void> {
  const local = vscode.env.uiKind === vscode.UIKind.Desktop && vscode.env.remoteName === undefined;
  if (local) return void (await vscode.commands.executeCommand('revealFileInOS', uri));
  if (vscode.workspace.getWorkspaceFolder(uri)) {
    return void (await vscode.commands.executeCommand('revealInExplorer', uri));
  }
  // It is on another machine and outside the workspace: no window can show it, its path can be used there.
  await vscode.env.clipboard.writeText(uri.fsPath);
  void notify('information', t(message('pathCopied', { path: uri.fsPath })));
}

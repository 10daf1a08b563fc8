/**
 * Every place where VS Code shows words of ours: notifications, questions, trees, pickers, the status bar, progress. Here,
 * and nowhere else in host/ (the linter sees to it), what may come from a folder loses what VS Code would obey: links
 * that run commands, icons, control characters. Tab titles are the business of page.ts, the log's lines that of log.ts.
 */
import * as vscode from 'vscode';
import { printable, unlinked } from '../core/messages/plain';

const plain = <Text extends string | undefined>(text: Text): Text => (text && unlinked(text)) as Text;
/** Tooltips keep their lines. */
const lines = (text: string): string => text.split('\n').map(unlinked).join('\n');

/** Shows a notification. @returns the button that was pressed, if one was */
export function notify(
  kind: 'information' | 'warning' | 'error',
  text: string,
  ...buttons: readonly string[]
): Thenable<string | undefined> {
  const show = {
    information: vscode.window.showInformationMessage,
    warning: vscode.window.showWarningMessage,
    error: vscode.window.showErrorMessage,
  };
  return show[kind](unlinked(text), ...buttons);
}

/** Asks before something that cannot be taken back. */
export async function confirm(question: string, detail: string, button: string): Promise<boolean> {
  const options = { modal: true, detail: unlinked(detail) };
  return (await vscode.window.showWarningMessage(unlinked(question), options, button)) === button;
}

/** A line of a tree. Its other properties are set afterwards; {@link shown} is to be called when it is complete. */
export const treeItem = (label: string, state?: vscode.TreeItemCollapsibleState): vscode.TreeItem =>
  new vscode.TreeItem(label, state);

/** A line of a tree as it may be shown. */
export function shown(item: vscode.TreeItem): vscode.TreeItem {
  if (typeof item.label === 'string') item.label = printable(item.label);
  if (typeof item.description === 'string') item.description = printable(item.description);
  if (typeof item.tooltip === 'string') item.tooltip = lines(item.tooltip);
  const { accessibilityInformation: spoken } = item;
  if (spoken) item.accessibilityInformation = { ...spoken, label: printable(spoken.label) };
  return item;
}

const item = <Item extends vscode.QuickPickItem>(from: Item): Item => ({
  ...from,
  label: unlinked(from.label),
  description: plain(from.description),
  detail: plain(from.detail),
});

/** Asks in a quick pick. A webview takes the focus back when the palette closes, which must not close the next question. */
export function pick<Item extends vscode.QuickPickItem>(
  items: readonly Item[],
  placeHolder: string,
  title?: string,
): Thenable<Item | undefined> {
  const options = { title: plain(title), placeHolder: unlinked(placeHolder), matchOnDescription: true };
  return vscode.window.showQuickPick(items.map(item), { ...options, ignoreFocusOut: true });
}

/** A quick pick whose items change while it is shown; they are set with {@link setItems}. */
export function openPick<Item extends vscode.QuickPickItem>(
  title: string,
  placeholder: string,
): vscode.QuickPick<Item> {
  return Object.assign(vscode.window.createQuickPick<Item>(), {
    title: unlinked(title),
    placeholder: unlinked(placeholder),
    matchOnDescription: true,
    ignoreFocusOut: true,
  });
}

export function setItems<Item extends vscode.QuickPickItem>(
  quickPick: vscode.QuickPick<Item>,
  items: readonly Item[],
): void {
  quickPick.items = items.map(item);
}

/** What the status bar says. */
export interface StatusWords {
  /** One of VS Code's icons, with its modifier: loading~spin. */
  readonly icon: string;
  readonly text: string;
  readonly tooltip: string;
  readonly spoken: string;
}

export const statusItem = (id: string, priority: number): vscode.StatusBarItem =>
  vscode.window.createStatusBarItem(id, vscode.StatusBarAlignment.Left, priority);

export function setStatus(item: vscode.StatusBarItem, { icon, text, tooltip, spoken }: StatusWords): void {
  item.text = `$(${icon}) ${unlinked(text)}`;
  item.tooltip = lines(tooltip);
  item.accessibilityInformation = { label: printable(spoken) };
}

/** Shows a notification while something is done. @param work gets a function that tells what it is about */
export function withNotification<Result>(
  title: string,
  cancellable: boolean,
  work: (tell: (text: string) => void, token: vscode.CancellationToken) => Thenable<Result>,
): Thenable<Result> {
  const location = vscode.ProgressLocation.Notification;
  return vscode.window.withProgress({ location, title: unlinked(title), cancellable }, (progress, token) =>
    work((text) => progress.report({ message: unlinked(text) }), token),
  );
}

/** The HTML of every page in a panel, under one strict content security policy. panels.ts and its like call `furnish`. */
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';

/** A bundle of src/webview. */
export type PageName = 'panel' | 'comparison' | 'examples';

/** Gives a panel its icon and its page, which begins to run; whoever listens to it does so already. */
export function furnish(panel: vscode.WebviewPanel, extensionUri: vscode.Uri, page: PageName): void {
  const file = (...names: string[]) => vscode.Uri.joinPath(extensionUri, ...names);
  panel.iconPath = { light: file('media', 'panel-light.svg'), dark: file('media', 'panel-dark.svg') };
  panel.webview.options = { enableScripts: true, localResourceRoots: [file('dist'), file('media')] };
  panel.webview.html = pageHtml(panel.webview, extensionUri, page);
}

/** A page: everything it loads comes from the extension's own folders, and only the script with the nonce runs. */
function pageHtml(webview: vscode.Webview, extensionUri: vscode.Uri, page: PageName): string {
  const nonce = randomBytes(18).toString('base64');
  const file = (name: string) =>
    escape(webview.asWebviewUri(vscode.Uri.joinPath(extensionUri, 'dist', name)).toString());
  const source = webview.cspSource;
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src ${source} 'nonce-${nonce}'`,
    `img-src ${source} data:`,
    `font-src ${source}`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${escape(vscode.env.language)}">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="${escape(policy)}">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>ConvLab</title>
  <link rel="stylesheet" href="${file(`${page}.css`)}">
</head>
<body>
  <div id="app"></div>
  <script nonce="${nonce}" src="${file(`${page}.js`)}"></script>
</body>
</html>`;
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

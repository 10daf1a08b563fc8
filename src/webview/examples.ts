/**
 * The page of examples, before any run: a contact sheet of the training images of an experiment. The host
 * (src/host/examples.ts) loads it as dist/examples.js and sends it what the trainer tells.
 */
import { FromExamples, ToExamples } from '../core/contracts/pages';
import { protocolVersion } from '../core/contracts/events';
import { h } from './dom';
import { ExampleSheetView } from './exampleSheet';
import { Language } from './language';
import { versionsDiffer } from './notice';
import './panel.css';

declare function acquireVsCodeApi(): { postMessage(message: FromExamples): void };

const vscode = acquireVsCodeApi();
const root = h('main', { class: 'panel' });
(document.getElementById('app') ?? document.body).append(root);
const heading = h('h1', {});
let view: ExampleSheetView | undefined;

window.addEventListener('message', ({ data }: MessageEvent<ToExamples>) => {
  if (data.protocol !== protocolVersion) {
    view = undefined;
    return versionsDiffer(root, data.protocol);
  }
  if (!view) {
    const language = new Language(data.language, data.translations);
    document.documentElement.lang = language.tag;
    view = new ExampleSheetView(language);
    root.replaceChildren(heading, view.element);
  }
  document.title = heading.textContent = data.title;
  view.show(data.answer);
});
vscode.postMessage({ type: 'ready', protocol: protocolVersion });

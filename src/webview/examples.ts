/**
 * The page of examples, before any run: a contact sheet of the training images of an experiment. The host
 * (src/host/examples.ts) loads it as dist/examples.js and sends it what the trainer tells.
 */
import type { ExamplesContent, FromExamples, ToExamples } from '../core/contracts/pages';
import { connect, Host, View } from './connect';
import { h } from './dom';
import { ExampleSheetView } from './exampleSheet';
import type { Language } from './language';
import './panel.css';

class ExamplesPage implements View<ToExamples> {
  private readonly heading = h('h1', {});
  private readonly sheet: ExampleSheetView;

  constructor(_: ExamplesContent, language: Language, { root }: Host<FromExamples, undefined>) {
    this.sheet = new ExampleSheetView(language);
    root.replaceChildren(this.heading, this.sheet.element);
  }

  show({ title, answer }: ExamplesContent): void {
    document.title = this.heading.textContent = title;
    this.sheet.show(answer);
  }

  change(content: ExamplesContent): void {
    this.show(content);
  }

  themeChanged(): void {
    // Its style sheet follows the theme by itself.
  }

  dispose(): void {
    // Nothing is held.
  }
}

connect<ToExamples, FromExamples>(ExamplesPage, 'panelBroken');

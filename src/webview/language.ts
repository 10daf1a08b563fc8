/**
 * How the panel speaks: texts through @vscode/l10n with the translations that the snapshot brought, numbers and times
 * through Intl in the snapshot's language. Every other file of the panel renders through one of these.
 */
import * as l10n from '@vscode/l10n';
import { Message, message, plainArgs, textOf } from '../core/messages/message';

export class Language {
  /** A BCP 47 tag that Intl accepts; 'en' where the snapshot's is none. */
  readonly tag: string;
  private readonly fourDecimals: Intl.NumberFormat;
  private readonly whole: Intl.NumberFormat;
  private readonly threeDigits: Intl.NumberFormat;
  private readonly percentage: Intl.NumberFormat;

  /** @param translations by English text; one at a time holds for the page, as @vscode/l10n keeps a single bundle */
  constructor(
    tag: string,
    private readonly translations: Readonly<Record<string, string>>,
  ) {
    l10n.config({ contents: { ...translations } });
    this.tag = supported(tag);
    this.fourDecimals = new Intl.NumberFormat(this.tag, { minimumFractionDigits: 4, maximumFractionDigits: 4 });
    this.whole = new Intl.NumberFormat(this.tag, { maximumFractionDigits: 0 });
    this.threeDigits = new Intl.NumberFormat(this.tag, { maximumSignificantDigits: 3 });
    this.percentage = new Intl.NumberFormat(this.tag, { style: 'percent', maximumFractionDigits: 1 });
  }

  /** Renders a message; takes what {@link message} takes, or a message from another process. */
  text(sentence: Message): string {
    // A newer extension host may send an id that this panel does not know; its id says more than nothing.
    const english = textOf(sentence.id);
    if (english === undefined) return sentence.id;
    return l10n.t(
      english,
      plainArgs(sentence.args, (part) => this.text(part)),
    );
  }

  /** Renders a text that comes from an experiment file: its title, translated where the bundles know it. */
  translate(english: string): string {
    return this.translations[english] ?? english;
  }

  /** Losses and accuracies, such as 0.9891. */
  figure(value: number): string {
    return this.fourDecimals.format(value);
  }

  count(value: number): string {
    return this.whole.format(value);
  }

  percent(share: number): string {
    return this.percentage.format(share);
  }

  /** Norms and ratios of any size with three digits: 1.23, 0.0012, 4.5e-7. */
  magnitude(value: number): string {
    const size = Math.abs(value);
    if (size === 0 || (size >= 1e-3 && size < 1e5)) return this.threeDigits.format(value);
    return trimmedExponential(value, 2);
  }

  /** A learning rate as one writes it: 0.01, 1e-3, 3e-4. */
  learningRate(value: number): string {
    return value > 1e-3 && value < 1e4 ? String(Number(value.toPrecision(6))) : trimmedExponential(value, 5);
  }

  /** A duration with its two largest units, such as "1 min 23 s"; below ten seconds with a decimal if `fine`. */
  duration(seconds: number, fine = false): string {
    if (fine && seconds < 9.95) {
      const format = new Intl.NumberFormat(this.tag, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
      return this.text(message('durationSeconds', { seconds: format.format(seconds) }));
    }
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return this.text(message('durationSeconds', { seconds: whole }));
    if (whole < 3600) {
      return this.text(message('durationMinutes', { minutes: Math.floor(whole / 60), seconds: whole % 60 }));
    }
    const minutes = Math.round(whole / 60);
    if (minutes < 1440) {
      return this.text(message('durationHours', { hours: Math.floor(minutes / 60), minutes: minutes % 60 }));
    }
    const hours = Math.round(whole / 3600);
    return this.text(message('durationDays', { days: Math.floor(hours / 24), hours: hours % 24 }));
  }

  /** @param time ISO 8601 */
  dateTime(time: string): string {
    const date = new Date(time);
    if (Number.isNaN(date.getTime())) return time;
    return new Intl.DateTimeFormat(this.tag, { dateStyle: 'medium', timeStyle: 'short' }).format(date);
  }

  list(items: readonly string[]): string {
    // Intl's lists without "and" separate by mere spaces in Chinese.
    return items.join(this.tag.startsWith('zh') ? '、' : ', ');
  }
}

function supported(tag: string): string {
  try {
    return Intl.NumberFormat.supportedLocalesOf([tag])[0] ?? 'en';
  } catch {
    return 'en';
  }
}

/** 1.230e-7 as 1.23e-7. */
function trimmedExponential(value: number, decimals: number): string {
  return value
    .toExponential(decimals)
    .replace(/\.?0+e/, 'e')
    .replace('e+', 'e');
}

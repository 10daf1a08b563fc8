/**
 * The last line of a terminal: what is going on just now, cut to the columns there are so that it never wraps, and drawn
 * again when they change. Displays and surveys show theirs through it.
 */
import stringWidth from 'string-width';

/** The terminal that is written to. */
export type Terminal = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write' | 'on' | 'off'>;

const segmenter = new Intl.Segmenter();

/**
 * As much of a text as fits.
 * @param columns how many there are
 * @param wide whether characters of ambiguous width may take two
 */
export function cut(text: string, columns: number, wide = false): string {
  let width = 0;
  let fitting = '';
  for (const { segment } of segmenter.segment(text)) {
    width += stringWidth(segment, { ambiguousIsNarrow: !wide });
    if (width > columns) break;
    fitting += segment;
  }
  return fitting;
}

export class StatusLine {
  /** Whether there is one: not in a file or a pipe, and not on a terminal that cannot move its cursor. */
  readonly visible: boolean;
  private shown: string | undefined;
  private readonly redraw = () => {
    if (this.shown !== undefined) this.show(this.shown);
  };

  constructor(
    private readonly wide: boolean,
    private readonly terminal: Terminal = process.stderr,
    type: string | undefined = process.env['TERM'],
  ) {
    this.visible = terminal.isTTY === true && type !== 'dumb';
  }

  show(text: string): void {
    if (!this.visible) return;
    if (this.shown === undefined) this.terminal.on('resize', this.redraw);
    this.shown = text;
    // The last column stays free: a cursor behind it wraps on some terminals.
    this.terminal.write(`\r\x1b[2K${cut(text, (this.terminal.columns || 80) - 1, this.wide)}`);
  }

  clear(): void {
    if (this.shown === undefined) return;
    this.terminal.off('resize', this.redraw);
    this.terminal.write('\r\x1b[2K');
    this.shown = undefined;
  }
}

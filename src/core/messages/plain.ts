/**
 * Makes words from a folder safe to show: a title, a file name or an error's text may hold characters that steer a
 * terminal, turn the writing round or become a link that runs a command. Every place where the extension and the terminal
 * hand text to what shows it calls these; pages need them not, for they set text, never markup.
 */

/** Marks and overrides of the direction of writing, with which a name can be made to read as another. */
const directions = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/**
 * The text without a character that controls anything: line breaks and tabs become spaces, every other control character
 * its picture (ESC is ␛) or �, and the marks that turn the direction of writing round are left out. What a text without
 * such characters says stays as it is, so that it can be applied twice. For terminals, titles, labels and logs.
 * @param keep 'lines' leaves line feeds and tabs standing, as logs and stack traces need them
 */
export function printable(text: string, keep?: 'lines'): string {
  return text
    .replace(/\p{Cs}/gu, '\ufffd')
    .replace(directions, '')
    .replace(keep === 'lines' ? /\r\n/g : /\r?\n/g, keep === 'lines' ? '\n' : ' ')
    .replace(controls, (character) => {
      const code = character.charCodeAt(0);
      if (character === '\n' || character === '\t') return keep === 'lines' ? character : ' ';
      if (character === '\r' || code === 0x2028 || code === 0x2029) return ' ';
      if (code < 0x20) return String.fromCharCode(0x2400 + code);
      return code === 0x7f ? '\u2421' : '\ufffd';
    });
}

/**
 * A {@link printable} text in which nothing becomes a link, an image or an icon where VS Code looks for them: its
 * notifications take `[text](command:…)` for a button that runs a command, its pickers and the status bar `$(name)` for
 * an icon. A space before the parenthesis breaks both and can still be read.
 */
export function unlinked(text: string): string {
  return printable(text).replace(/([\]$])(?=\()/g, '$1 ');
}

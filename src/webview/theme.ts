/**
 * The colours and fonts of VS Code's theme, as what draws on a canvas needs them (style sheets read the variables
 * themselves), and the moment at which they change.
 */
import { Color, colorText, mix, parseColor, withAlpha } from './color';

export interface Theme {
  readonly highContrast: boolean;
  readonly foreground: string;
  readonly muted: string;
  readonly grid: string;
  readonly background: string;
  readonly trainLoss: string;
  readonly stepLoss: string;
  readonly trainAccuracy: string;
  readonly validationAccuracy: string;
  readonly validationLoss: string;
  readonly hoverBackground: string;
  readonly hoverForeground: string;
  readonly hoverBorder: string;
  readonly fontFamily: string;
  /** In pixels. */
  readonly fontSize: number;
  /** A colour for a layer, by its share of the way through the network: 0 the first layer, 1 the last. */
  layer(share: number): string;
  /** How many colours `series` has. */
  readonly seriesColours: number;
  /** A colour for the curve at `index` of several; after `seriesColours` they begin again. */
  series(index: number): string;
}

/** Reads the theme that holds now. Fallbacks are those of VS Code's dark theme. */
export function readTheme(): Theme {
  const style = getComputedStyle(document.body);
  const variable = (name: string) => style.getPropertyValue(`--vscode-${name}`).trim();
  const color = (name: string, fallback: Color): Color => parseColor(variable(name)) ?? fallback;

  const kind = document.body.dataset['vscodeThemeKind'] ?? '';
  const highContrast = kind.includes('high-contrast');
  const background = color('editor-background', [31, 31, 31, 1]);
  const foreground = color('editor-foreground', [204, 204, 204, 1]);
  const red = color('charts-red', [241, 76, 76, 1]);
  const blue = color('charts-blue', [55, 148, 255, 1]);
  const green = color('charts-green', [137, 209, 133, 1]);
  const purple = color('charts-purple', [177, 128, 215, 1]);
  const ramp = [blue, purple, red] as const;
  // Not charts-orange, which is the background of a match in a search: pale on light, brown on dark.
  const cyan = color('terminal-ansiCyan', [41, 184, 219, 1]);
  const yellow = color('charts-yellow', [204, 167, 0, 1]);
  const several = [blue, red, green, purple, cyan, yellow];
  return {
    highContrast,
    foreground: colorText(foreground),
    muted: colorText(highContrast ? foreground : color('descriptionForeground', mix(foreground, background, 0.3))),
    grid: colorText(withAlpha(foreground, highContrast ? 0.35 : 0.13)),
    background: colorText(background),
    trainLoss: colorText(red),
    stepLoss: colorText(withAlpha(red, highContrast ? 0.6 : 0.42)),
    trainAccuracy: colorText(blue),
    validationAccuracy: colorText(green),
    validationLoss: colorText(purple),
    hoverBackground: colorText(color('editorHoverWidget-background', background)),
    hoverForeground: colorText(color('editorHoverWidget-foreground', foreground)),
    hoverBorder: colorText(color('editorHoverWidget-border', withAlpha(foreground, 0.4))),
    fontFamily: variable('font-family') || 'sans-serif',
    fontSize: parseFloat(variable('font-size')) || 13,
    seriesColours: several.length,
    series: (index) => colorText(several[index % several.length]!),
    layer: (share) => colorText(share <= 0.5 ? mix(ramp[0], ramp[1], share * 2) : mix(ramp[1], ramp[2], share * 2 - 1)),
  };
}

/**
 * Calls back after VS Code has changed the theme: it sets the variables on <html> and class and data attributes on
 * <body>, together, so that one frame later all of them hold.
 */
export function onThemeChange(changed: () => void): void {
  let asked = false;
  const observer = new MutationObserver(() => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      changed();
    });
  });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['style', 'class'] });
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ['class', 'data-vscode-theme-kind', 'data-vscode-theme-id'],
  });
}

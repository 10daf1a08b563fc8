/** Arithmetic on the colours of VS Code's theme variables, for {@link readTheme} in theme.ts; no DOM. */

/** Red, green and blue from 0 to 255, alpha from 0 to 1; sRGB. */
export type Color = readonly [red: number, green: number, blue: number, alpha: number];

/** Reads the forms that VS Code writes: #rgb, #rgba, #rrggbb, #rrggbbaa, rgb() and rgba(). Undefined for any other. */
export function parseColor(text: string): Color | undefined {
  const hex = /^#([0-9a-f]{3,8})$/i.exec(text)?.[1];
  if (hex && hex.length !== 5 && hex.length !== 7) {
    const digits = hex.length <= 4 ? [...hex].map((digit) => digit + digit) : (hex.match(/../g) ?? []);
    const [red, green, blue, alpha = 255] = digits.map((pair) => parseInt(pair, 16));
    return [red!, green!, blue!, alpha / 255];
  }
  const parts = /^rgba?\(([^)]*)\)$/i
    .exec(text)?.[1]
    ?.split(/[\s,/]+/)
    .filter(Boolean);
  if (!parts || parts.length < 3 || parts.length > 4) return undefined;
  const [red, green, blue, alpha = 1] = parts.map((part, i) =>
    part.endsWith('%') ? (parseFloat(part) / 100) * (i < 3 ? 255 : 1) : parseFloat(part),
  );
  return [red, green, blue, alpha].every(Number.isFinite) ? [red!, green!, blue!, alpha] : undefined;
}

/** @param share 0 gives `a`, 1 gives `b` */
export function mix(a: Color, b: Color, share: number): Color {
  const at = (i: 0 | 1 | 2 | 3) => a[i] + (b[i] - a[i]) * share;
  return [at(0), at(1), at(2), at(3)];
}

export function withAlpha([red, green, blue, alpha]: Color, share: number): Color {
  return [red, green, blue, alpha * share];
}

export function colorText([red, green, blue, alpha]: Color): string {
  return `rgba(${Math.round(red)}, ${Math.round(green)}, ${Math.round(blue)}, ${Number(alpha.toFixed(3))})`;
}

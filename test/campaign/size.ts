/** How much of the campaign is run: the short form by `vitest run --project campaign` and CI, the long one by `npm run campaign`. */
export const long = process.env['CONVLAB_CAMPAIGN'] === 'long';
export const sized = (short: number, whole: number): number => (long ? whole : short);

/** Fixed, so that what is found is found again; CONVLAB_CAMPAIGN_SEED asks for others. */
export const seed = Number(process.env['CONVLAB_CAMPAIGN_SEED'] ?? 1);

/** Uniform numbers below 1 from a seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

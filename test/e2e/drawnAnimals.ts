/**
 * Cats and dogs drawn from a seed, for images of what ConvLab shows of photographs: photographs of others are not ours
 * to publish.
 */
import sharp from 'sharp';
import { streamKey, uniform } from '../../src/core/random';
import { put } from '../unit/drawnImages';

type Animal = 'cat' | 'dog';

const furs = ['#c98a4b', '#8d6e5a', '#4a4a52', '#d9c7a8', '#a9a9b3', '#6b4a35', '#e0a96d', '#f0ece2'];
const grounds = ['#7fb069', '#5b8fb9', '#d98880', '#e2c275', '#9b8bb4', '#76a5a1', '#c7d3d4', '#6d7f92'];

/** A head in front of a horizon, of another size, place, colour and inclination for each seed. */
function drawing(animal: Animal, seed: number): string {
  const key = streamKey(seed, animal === 'cat' ? 1 : 2);
  const from = (i: number, low: number, high: number) => low + (high - low) * uniform(key, i);
  const one = <T>(i: number, of: readonly T[]): T => of[Math.floor(uniform(key, i) * of.length)]!;
  const [width, height] = [Math.round(from(0, 380, 520)), Math.round(from(1, 360, 480))];
  const fur = one(2, furs);
  const sky = one(3, grounds);
  const floor = one(4, grounds);
  const scale = from(5, 0.8, 1.15);
  const place = `translate(${width * from(6, 0.4, 0.6)} ${height * from(7, 0.45, 0.6)}) rotate(${from(8, -14, 14)}) scale(${scale})`;
  const ears =
    animal === 'cat'
      ? `<path d="M-105 -30 L-92 -140 L-25 -92Z M105 -30 L92 -140 L25 -92Z" fill="${fur}" stroke="#0006" stroke-width="5"/>
         <path d="M-88 -60 L-82 -112 L-45 -86Z M88 -60 L82 -112 L45 -86Z" fill="#e8a5a0"/>`
      : `<path d="M-70 -85 C-150 -90 -165 20 -125 80 C-100 60 -90 0 -62 -40Z M70 -85 C150 -90 165 20 125 80 C100 60 90 0 62 -40Z"
           fill="${fur}" stroke="#0006" stroke-width="5"/>`;
  const face =
    animal === 'cat'
      ? `<ellipse rx="112" ry="98" fill="${fur}" stroke="#0006" stroke-width="5"/>
         <ellipse cx="-44" cy="-14" rx="22" ry="26" fill="#d7e26a"/><ellipse cx="44" cy="-14" rx="22" ry="26" fill="#d7e26a"/>
         <ellipse cx="-44" cy="-14" rx="7" ry="22"/><ellipse cx="44" cy="-14" rx="7" ry="22"/>
         <path d="M-12 26 L12 26 L0 40Z" fill="#d5817c"/>
         <path d="M0 40 Q-14 62 -30 50 M0 40 Q14 62 30 50 M-40 34 L-120 20 M-40 42 L-120 52 M40 34 L120 20 M40 42 L120 52"
           fill="none" stroke="#222" stroke-width="4"/>`
      : `<ellipse rx="98" ry="104" fill="${fur}" stroke="#0006" stroke-width="5"/>
         <circle cx="-38" cy="-24" r="16" fill="#2b1d14"/><circle cx="38" cy="-24" r="16" fill="#2b1d14"/>
         <circle cx="-33" cy="-29" r="5" fill="#fff"/><circle cx="43" cy="-29" r="5" fill="#fff"/>
         <ellipse cy="46" rx="56" ry="44" fill="#fff8"/><ellipse cy="24" rx="27" ry="18" fill="#241a16"/>
         <path d="M0 42 V60 M0 60 Q-22 80 -40 64 M0 60 Q22 80 40 64" fill="none" stroke="#241a16" stroke-width="5"/>
         <path d="M-14 70 Q0 112 14 70Z" fill="#e0736f"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <rect width="100%" height="100%" fill="${sky}"/>
    <rect y="${height * from(9, 0.55, 0.8)}" width="100%" height="100%" fill="${floor}"/>
    <g transform="${place}">${ears}${face}</g></svg>`;
}

/** Fills the folders `cat` and `dog` with JPEGs, as many of each. */
export async function fillWithAnimals(folder: string, count: number): Promise<void> {
  for (const animal of ['cat', 'dog'] as const) {
    for (let i = 0; i < count; i++) {
      const jpeg = await sharp(Buffer.from(drawing(animal, i)))
        .jpeg({ quality: 92 })
        .toBuffer();
      put(folder, `${animal}/${animal}.${i}.jpg`, jpeg);
    }
  }
}

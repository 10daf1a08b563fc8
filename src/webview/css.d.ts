/** Style sheets that panel.ts imports; esbuild gathers them into dist/panel.css. */
declare module '*.css';

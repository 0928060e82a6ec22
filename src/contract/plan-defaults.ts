/** What holds where a Plan says nothing. */
export const PLAN_DEFAULTS = {
  fit: 'contain',
  gravity: 'center',
  format: 'jpeg',
  quality: 95,
  chroma: '4:4:4',
  metadata: 'keep',
  padBackground: '#ffffff',
  /** Where the format has no transparency, `output.background` comes under it. */
  rotateBackground: '#00000000',
  flattenBackground: '#ffffff',
  outputBackground: '#ffffff',
  /** What mm are measured by, and what is written into the file then. */
  dpi: 300,
  compression: 'lzw',
  adjust: { brightness: 1, contrast: 1, saturation: 1, hue: 0, gamma: 1, exposure: 0 },
  sharpen: { amount: 1, radius: 1 },
  background: { color: '#00000000', mask: false },
  threshold: 128,
  dither: 'floyd-steinberg',
  watermark: {
    gravity: 'southeast',
    opacity: 0.5,
    scale: 0.2,
    margin: 16,
    color: '#ffffff',
    tile: false,
  },
  trim: 10,
  clip: { start: 0, duration: 3, fps: 10 },
  vectorize: { colors: 'color', detail: 'medium', maxBytes: 2_000_000 },
} as const;

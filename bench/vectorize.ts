/**
 * Logos of one megapixel into SVG: CPU, bytes, and how like the picture they are when rendered again, beside
 * @neplex/vectorizer (VTracer) at its presets, as it comes and after its own optimiser, and, in black and white, potrace
 * (Debian package, run as a program): each where it is installed. The first has no place in the lockfile, as not all of
 * its platforms' packages are to be had.
 *
 *   npm install --no-save @neplex/vectorizer@0.1.0 && npm run bench:vectorize
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pixels } from '../src/engine/types.ts';
import { vectorize } from '../src/engine/vectorize/index.ts';
import { inked } from '../src/engine/vectorize/ink.ts';
import { rasterOf } from '../src/engine/vectorize/raster.ts';
import { psnr } from '../test/support/compare.ts';
import { drawn, logos, onGround } from '../test/support/logos.ts';
import { save } from './compare.ts';
import { median } from './cpu.ts';

const ROUNDS = 7;
const TARGET = { cpuMs: 100, decibels: 28, timesBestBytes: 2 };
/** As numbers: a `const enum` has no values that source code which is run as it is could use. */
const PRESETS = { bw: 0, poster: 1, photo: 2 } as const;

interface Vectorizer {
  vectorizeRawSync(rgba: Buffer, size: { width: number; height: number }, preset: number): string;
  optimizeSync(svg: string): string;
}

const VECTORIZER: string = '@neplex/vectorizer';
const vectorizer: Vectorizer | undefined = await import(VECTORIZER).catch((error: NodeJS.ErrnoException) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  console.error(`${VECTORIZER} is not installed: left out`);
  return undefined;
});

interface Tool {
  name: string;
  /** In this process, or in a program whose CPU is not counted. */
  run: (pixels: Pixels) => string | Promise<string>;
}

const ours = (colors: 'color' | 'bw'): Tool => ({
  name: 'tintype',
  run: (pixels) => vectorize(pixels, { colors, detail: 'medium', maxBytes: 2_000_000 }, {}),
});

function vtracer(preset: keyof typeof PRESETS, optimized: boolean): Tool[] {
  if (!vectorizer) return [];
  const { vectorizeRawSync, optimizeSync } = vectorizer;
  return [
    {
      name: `vectorizer ${preset}${optimized ? ' + optimizer' : ''}`,
      run: ({ data, width, height }) => {
        const rgba = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
        const svg = vectorizeRawSync(rgba, { width, height }, PRESETS[preset]);
        return optimized ? optimizeSync(svg) : svg;
      },
    },
  ];
}

const folder = mkdtempSync(join(tmpdir(), 'tintype-bench-'));

/** A portable bitmap, where 1 is black. */
function bitmap({ data, width, height }: Pixels): Buffer {
  const rowBytes = Math.ceil(width / 8);
  const bits = Buffer.alloc(rowBytes * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[(y * width + x) * 4] === 0) bits[y * rowBytes + (x >> 3)]! |= 0x80 >> (x & 7);
    }
  }
  return Buffer.concat([Buffer.from(`P4\n${width} ${height}\n`), bits]);
}

const potrace: Tool = {
  name: 'potrace',
  run: async (pixels) => {
    writeFileSync(join(folder, 'in.pbm'), bitmap(pixels));
    execFileSync('potrace', ['-s', '-o', join(folder, 'out.svg'), join(folder, 'in.pbm')]);
    return readFileSync(join(folder, 'out.svg'), 'utf8');
  },
};

const hasPotrace = spawnSync('potrace', ['--version']).status === 0;

const TOOLS: Record<'color' | 'bw', Tool[]> = {
  color: [
    ours('color'),
    ...vtracer('poster', false),
    ...vtracer('poster', true),
    ...vtracer('photo', false),
    ...vtracer('photo', true),
  ],
  bw: [ours('bw'), ...vtracer('bw', false), ...vtracer('bw', true), ...(hasPotrace ? [potrace] : [])],
};

/** The picture at the level that tells it apart best, as the other tools want it. */
async function blackAndWhite(pixels: Pixels): Promise<Pixels> {
  const { labels } = inked(await rasterOf(pixels, Infinity));
  const data = new Uint8Array(labels.length * 4).fill(255);
  for (const [i, label] of labels.entries()) if (label === 0) data.fill(0, i * 4, i * 4 + 3);
  return { ...pixels, data };
}

/** On white, and in black and white alone where the picture is to be so: pixels that changed sides are what counts. */
function shown(pixels: Pixels, colors: 'color' | 'bw'): Uint8Array {
  const rgb = onGround(pixels, [255, 255, 255]);
  return colors === 'bw' ? rgb.map((value) => (value < 128 ? 0 : 255)) : rgb;
}

async function measure(tool: Tool, colors: 'color' | 'bw', pixels: Pixels, wanted: Pixels) {
  const cpu: number[] = [];
  let svg = '';
  for (let round = 0; round <= ROUNDS; round++) {
    const before = process.cpuUsage();
    svg = await tool.run(pixels);
    const used = process.cpuUsage(before);
    if (round > 0) cpu.push((used.user + used.system) / 1000); // the first one warms up
  }
  const rendered = await drawn(svg, pixels.width);
  const alike = rendered.height === pixels.height;
  const decibels = alike ? psnr(shown(rendered, colors), shown(wanted, colors)) : Number.NaN;
  return {
    tool: tool.name,
    ...(tool !== potrace && { medianCpuMs: Math.round(median(cpu)) }),
    bytes: svg.length,
    decibels: Math.round(decibels * 10) / 10,
  };
}

const results = [];
let allOk = true;
for (const colors of ['color', 'bw'] as const) {
  for (const [logo, source] of Object.entries(logos())) {
    const pixels = await drawn(source);
    const wanted = colors === 'bw' ? await blackAndWhite(pixels) : pixels;
    const tools = [];
    for (const tool of TOOLS[colors]) {
      const input = tool.name === 'tintype' ? pixels : wanted;
      tools.push(await measure(tool, colors, input, wanted));
    }
    const [own, ...others] = tools;
    const timesBestBytes =
      Math.round((own!.bytes / Math.min(...others.map(({ bytes }) => bytes))) * 100) / 100;
    const ok =
      own!.medianCpuMs! <= TARGET.cpuMs &&
      own!.decibels >= TARGET.decibels &&
      timesBestBytes <= TARGET.timesBestBytes;
    allOk &&= ok;
    results.push({ logo, colors, size: `${pixels.width}×${pixels.height}`, tools, timesBestBytes, ok });
    process.stdout.write(`\n${logo}, ${colors}${ok ? '' : '   MISSED'}\n`);
    for (const { tool, medianCpuMs, bytes, decibels } of tools) {
      const cpu = medianCpuMs === undefined ? '      ' : `${String(medianCpuMs).padStart(3)} ms`;
      process.stdout.write(
        `  ${tool.padEnd(30)} ${cpu} ${String(bytes).padStart(8)} bytes ${decibels.toFixed(1).padStart(6)} dB\n`,
      );
    }
  }
}
rmSync(folder, { recursive: true });
save('vectorize', 'npm run bench:vectorize', { target: TARGET, potrace: hasPotrace, logos: results });
process.exitCode = allOk ? 0 : 1;

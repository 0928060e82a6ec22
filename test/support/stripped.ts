/** What exiftool finds in renditions that should carry no metadata. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a file of its format cannot do without, and what exiftool says of any file. */
const STRUCTURE =
  /^(SourceFile|ExifTool:.*|System:.*|File:.*|JFIF:.*|RIFF:.*|PNG:.*|PNG-pHYs:.*|GIF:.*|Composite:(ImageSize|Megapixels))$/;
const STRUCTURE_OF: Readonly<Record<string, RegExp>> = {
  avif: /^(Meta|QuickTime|ItemList|Track1):/,
  tif: /^IFD\d+:(ImageWidth|ImageHeight|BitsPerSample|Compression|PhotometricInterpretation|FillOrder|StripOffsets|Orientation|SamplesPerPixel|RowsPerStrip|StripByteCounts|[XY]Resolution|PlanarConfiguration|T6Options|ResolutionUnit|Predictor|ExtraSamples|SampleFormat|SubfileType)$/,
  svg: /^SVG:(Xmlns|Version|ImageWidth|ImageHeight|ViewBox|ShapeRendering)$/,
};
/** Text in a PNG or a comment in a GIF is none of it. */
const TEXT =
  /^(PNG:(?!(ImageWidth|ImageHeight|BitDepth|ColorType|Compression|Filter|Interlace|Palette|Transparency|AnimationFrames|AnimationPlays|SRGBRendering|BackgroundColor|SignificantBits)$)|GIF:Comment$|File:Comment$)/;

/**
 * Looks at all files of a folder at once.
 * @returns how many there are, and what is left in them, `file: tag`
 */
export async function metadataLeftIn(
  folder: string,
  exiftool: string,
): Promise<{ files: number; left: string[] }> {
  const args = ['-a', '-G1', '-ee', '-j', '-m', '-q', '-q', '-r', folder];
  const { stdout } = await run(exiftool, args, { maxBuffer: 1 << 28 });
  const files = JSON.parse(stdout) as Record<string, unknown>[];
  const left = files.flatMap(({ SourceFile, ...tags }) => {
    const ofFormat = STRUCTURE_OF[String(SourceFile).replace(/.*\./, '')];
    return Object.keys(tags)
      .filter((tag) => TEXT.test(tag) || !(STRUCTURE.test(tag) || ofFormat?.test(tag)))
      .map((tag) => `${SourceFile}: ${tag}`);
  });
  return { files: files.length, left };
}

/**
 * Makes the small images of `test/fixtures/`: `npm run fixtures`. The pictures are computed and the encoders are
 * those of the lockfile, so that a second run changes nothing; HEIC needs Debian's `heif-enc` and is left as it
 * is elsewhere. What each file is for stands in test/fixtures/README.md.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { writeDng } from '../test/support/dng.ts';
import { ADOBE_RGB, matrixProfile, PROPHOTO_RGB } from '../test/support/icc.ts';
import { landscape, letterF, type Picture, storedFor } from '../test/support/pictures.ts';
import { tool } from '../test/support/tools.ts';

const root = resolve(import.meta.dirname, '..');
const folder = join(root, 'test/fixtures');
const exiftoolScript = join(root, 'node_modules/exiftool-vendored.pl/bin/exiftool');

const F_SIZE = [96, 64] as const;
const PHOTO_SIZE = [320, 240] as const;

const to = (name: string): string => join(folder, name);

function image({ data, width, height, channels }: Picture): Sharp {
  return sharp(data, { raw: { width, height, channels } });
}

/** The exiftool of the lockfile; the system's could write other bytes. */
function exiftool(file: string, ...args: string[]): void {
  execFileSync('perl', [exiftoolScript, '-q', '-overwrite_original', ...args, file], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** Every kind of thing that `keep` must carry over and `strip` must not leak. */
const IDENTIFYING_TAGS = [
  '-EXIF:Make=Tintype Works',
  '-EXIF:Model=Fixture 1',
  '-EXIF:LensModel=50mm f/1.8',
  '-EXIF:SerialNumber=SN-4711-BODY',
  '-EXIF:LensSerialNumber=SN-4712-LENS',
  '-EXIF:OwnerName=Ada Fixture',
  '-EXIF:Artist=Ada Fixture',
  '-EXIF:Copyright=(c) 2026 Ada Fixture',
  '-EXIF:ImageDescription=A hill under a low sun',
  '-EXIF:UserComment=written by a fixture',
  '-EXIF:DateTimeOriginal=2026:03:04 05:06:07',
  '-EXIF:CreateDate=2026:03:04 05:06:07',
  '-EXIF:ModifyDate=2026:03:05 08:09:10',
  '-EXIF:OffsetTimeOriginal=+05:30',
  '-EXIF:OffsetTimeDigitized=+05:30',
  '-EXIF:SubSecTimeOriginal=123',
  '-EXIF:ISO=200',
  '-EXIF:FNumber=1.8',
  '-EXIF:ExposureTime=1/250',
  '-EXIF:FocalLength=50',
  '-EXIF:GPSLatitude=47.3769',
  '-EXIF:GPSLatitudeRef=N',
  '-EXIF:GPSLongitude=8.5417',
  '-EXIF:GPSLongitudeRef=E',
  '-EXIF:GPSAltitude=408',
  '-EXIF:GPSAltitudeRef=0',
  '-XMP-dc:Title=Low sun',
  '-XMP-dc:Creator=Ada Fixture',
  '-XMP-dc:Subject=hill',
  '-XMP-xmp:Rating=4',
  '-XMP-exif:GPSLatitude=47.3769N',
  '-IPTC:Caption-Abstract=A hill under a low sun',
  '-IPTC:Keywords=hill',
  '-IPTC:Keywords=sun',
  '-IPTC:City=Zurich',
];

mkdirSync(folder, { recursive: true });
const work = mkdtempSync(join(tmpdir(), 'tintype-fixtures-'));
try {
  await orientations();
  await metadata();
  await colours();
  await pngs();
  await manyPages();
  await vectorsAndBitmaps();
  await modernFormats();
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function orientations(): Promise<void> {
  const upright = letterF(...F_SIZE);
  for (let orientation = 1; orientation <= 8; orientation++) {
    const file = to(`jpeg-orientation-${orientation}.jpg`);
    await image(storedFor(orientation, upright))
      .jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
      .toFile(file);
    exiftool(file, '-n', `-EXIF:Orientation=${orientation}`);
  }
}

async function metadata(): Promise<void> {
  const file = to('jpeg-metadata.jpg');
  await image(landscape(...PHOTO_SIZE))
    .jpeg({ quality: 85 })
    .toFile(file);
  // Not a small copy of the picture: a leak of what was cropped away must be recognisable.
  const thumbnail = join(work, 'thumbnail.jpg');
  await image(letterF(80, 60)).jpeg({ quality: 80 }).toFile(thumbnail);
  exiftool(file, `-ThumbnailImage<=${thumbnail}`, ...IDENTIFYING_TAGS);
}

async function colours(): Promise<void> {
  const photo = landscape(...PHOTO_SIZE);
  // The same colours as the sRGB picture, expressed in P3.
  await image(photo)
    .withIccProfile('p3')
    .jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
    .toFile(to('jpeg-display-p3.jpg'));
  // The same numbers under another meaning: decoders that ignore the profile show them dull.
  for (const [name, profile] of [
    ['adobe-rgb', ADOBE_RGB],
    ['prophoto', PROPHOTO_RGB],
  ] as const) {
    const icc = join(work, `${name}.icc`);
    writeFileSync(icc, matrixProfile(profile));
    await image(photo)
      .jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
      .toFile(to(`jpeg-${name}.jpg`));
    exiftool(to(`jpeg-${name}.jpg`), `-ICC_Profile<=${icc}`);
  }
  await image(landscape(160, 120)).toColourspace('cmyk').jpeg({ quality: 90 }).toFile(to('jpeg-cmyk.jpg'));
  await image(letterF(...F_SIZE))
    .grayscale()
    .jpeg({ quality: 90 })
    .toFile(to('jpeg-gray.jpg'));
  await image(photo).jpeg({ quality: 85, progressive: true }).toFile(to('jpeg-progressive.jpg'));
}

async function pngs(): Promise<void> {
  await sharp(ramp16(64, 48), { raw: { width: 64, height: 48, channels: 3 } })
    .toColourspace('rgb16')
    .png()
    .toFile(to('png-16bit.png'));
  await withAlphaRamp(letterF(...F_SIZE))
    .png()
    .toFile(to('png-alpha.png'));
  await withAlphaRamp(letterF(...F_SIZE))
    .grayscale()
    .png()
    .toFile(to('png-gray-alpha.png'));
  await image(letterF(...F_SIZE))
    .png({ palette: true, colours: 8 })
    .toFile(to('png-palette.png'));
  await image(letterF(...F_SIZE))
    .png({ progressive: true })
    .toFile(to('png-interlaced.png'));
}

/** Red along the width and green down the height, in steps that 8 bits cannot tell apart; blue in the middle. */
function ramp16(width: number, height: number): Uint16Array {
  const data = new Uint16Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const x = pixel % width;
    data.set([20_000 + x * 100, 30_000 + Math.floor(pixel / width) * 100, 32_768], pixel * 3);
  }
  return data;
}

/** Opaque at the left, clear at the right. */
function withAlphaRamp(picture: Picture): Sharp {
  const rgba = new Uint8Array(picture.width * picture.height * 4);
  for (let pixel = 0; pixel < picture.width * picture.height; pixel++) {
    const x = pixel % picture.width;
    rgba.set(picture.data.subarray(pixel * 3, pixel * 3 + 3), pixel * 4);
    rgba[pixel * 4 + 3] = Math.round(255 * (1 - x / (picture.width - 1)));
  }
  return sharp(rgba, { raw: { width: picture.width, height: picture.height, channels: 4 } });
}

async function manyPages(): Promise<void> {
  const frames = await Promise.all(
    [1, 2, 3, 4].map((orientation) =>
      image(storedFor(orientation, letterF(...F_SIZE)))
        .png()
        .toBuffer(),
    ),
  );
  const animation = () => sharp(frames, { join: { animated: true } });
  const delay = [100, 200, 300, 400];
  await animation().gif({ delay, loop: 0 }).toFile(to('gif-animated.gif'));
  await animation().webp({ delay, loop: 3, lossless: true }).toFile(to('webp-animated.webp'));
  await animation().tiff({ compression: 'deflate' }).toFile(to('tiff-4-pages.tif'));
  await image(letterF(...F_SIZE))
    .toColourspace('rgb16')
    .tiff({ compression: 'lzw', predictor: 'horizontal' })
    .toFile(to('tiff-16bit.tif'));
  await image(letterF(...F_SIZE))
    .gif()
    .toFile(to('gif-still.gif'));
}

async function vectorsAndBitmaps(): Promise<void> {
  const letter = letterF(...F_SIZE);
  writeFileSync(to('bmp-24bit.bmp'), bmp24(letter));
  writeFileSync(to('bmp-8bit-palette.bmp'), bmp8(letter));
  writeFileSync(
    to('svg-shapes.svg'),
    `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="80" viewBox="0 0 120 80">
  <rect width="60" height="40" fill="#c82828"/>
  <rect x="60" width="60" height="40" fill="#28a03c"/>
  <rect y="40" width="60" height="40" fill="#2846be"/>
  <circle cx="90" cy="60" r="18" fill="#e6c83c" fill-opacity="0.5"/>
</svg>
`,
  );
}

/** BITMAPINFOHEADER, uncompressed, bottom-up. */
function bmp24({ data, width, height }: Picture): Buffer {
  const stride = Math.ceil((width * 3) / 4) * 4;
  const pixels = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = ((height - 1 - y) * width + x) * 3;
      pixels.set([data[from + 2]!, data[from + 1]!, data[from]!], y * stride + x * 3);
    }
  }
  return Buffer.concat([bmpHeaders(width, height, 24, 0, pixels.length), pixels]);
}

/** The colours that occur, at most 256, as a palette; stored top-down, which a negative height says. */
function bmp8({ data, width, height }: Picture): Buffer {
  const stride = Math.ceil(width / 4) * 4;
  const pixels = Buffer.alloc(stride * height);
  const palette: number[] = [];
  for (let pixel = 0; pixel < width * height; pixel++) {
    const [r, g, b] = data.subarray(pixel * 3, pixel * 3 + 3);
    const color = b! | (g! << 8) | (r! << 16);
    if (!palette.includes(color)) palette.push(color);
    pixels[Math.floor(pixel / width) * stride + (pixel % width)] = palette.indexOf(color);
  }
  const table = Buffer.alloc(palette.length * 4);
  for (const [index, color] of palette.entries()) table.writeUInt32LE(color, index * 4);
  return Buffer.concat([bmpHeaders(width, -height, 8, palette.length, pixels.length), table, pixels]);
}

function bmpHeaders(width: number, height: number, bits: number, colors: number, pixelBytes: number): Buffer {
  const pixelsAt = 54 + colors * 4;
  const out = Buffer.alloc(54);
  out.write('BM', 0, 'latin1');
  out.writeUInt32LE(pixelsAt + pixelBytes, 2);
  out.writeUInt32LE(pixelsAt, 10);
  out.writeUInt32LE(40, 14);
  out.writeInt32LE(width, 18);
  out.writeInt32LE(height, 22);
  out.writeUInt16LE(1, 26);
  out.writeUInt16LE(bits, 28);
  out.writeUInt32LE(pixelBytes, 34);
  out.writeUInt32LE(colors, 46);
  return out;
}

async function modernFormats(): Promise<void> {
  const photo = landscape(...PHOTO_SIZE);
  await withAlphaRamp(letterF(...F_SIZE))
    .webp({ quality: 90 })
    .toFile(to('webp-alpha.webp'));
  await image(photo).avif({ quality: 60, effort: 2 }).toFile(to('avif-8bit.avif'));
  await image(photo)
    .toColourspace('rgb16')
    .avif({ quality: 60, effort: 2, bitdepth: 10 })
    .toFile(to('avif-10bit.avif'));

  const preview = await image(letterF(120, 80)).jpeg({ quality: 85 }).toBuffer();
  const scene = landscape(120, 80);
  await writeDng(to('dng-bayer.dng'), {
    width: scene.width,
    height: scene.height,
    pixel: (x, y) => {
      const at = (y * scene.width + x) * 3;
      const linear = (sample: number) => Math.round(65_535 * (sample / 255) ** 2.2);
      return [linear(scene.data[at]!), linear(scene.data[at + 1]!), linear(scene.data[at + 2]!)];
    },
    preview: { jpeg: preview, width: 120, height: 80 },
  });

  const heifEnc = tool('heif-enc')?.path;
  if (!heifEnc) {
    process.stderr.write(
      'heic-metadata.heic is left as it is: heif-enc is missing (Debian package libheif-examples)\n',
    );
    return;
  }
  // heif-enc carries the JPEG's EXIF and XMP over.
  execFileSync(heifEnc, ['-q', '60', '-o', to('heic-metadata.heic'), to('jpeg-metadata.jpg')], {
    stdio: 'ignore',
  });
}

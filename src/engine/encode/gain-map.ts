/**
 * Keeps a JPEG's gain map on the JPEG that was made of it: scaled, cut and turned as the picture was, and refiled by
 * the multi-picture format (CIPA DC-007) with what Ultra HDR 1.0 and ISO 21496-1 readers look for. libvips can keep
 * one too, but only without a crop, at 4:2:0, and not Adobe's or Apple's.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import sharp, { type Sharp } from 'sharp';
import { type GainMap, type JpegSegment, jpegSegments, readGainMap } from '../decode/gain-map.ts';
import { pipelineOf } from '../decode/pixels.ts';
import { applyStage, stagesOf } from '../steps/pipeline.ts';
import { type Primitive, type Size, sizeAfter } from '../steps/primitive.ts';
import type { Pixels } from '../types.ts';

const QUALITY = 95;
const MAX_SEGMENT_BODY = 65_533;
const XMP_NAME = 'http://ns.adobe.com/xap/1.0/\0';
/** In UTF-8, read as Latin-1. */
const EMPTY_PACKET =
  "<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'></rdf:RDF></x:xmpmeta><?xpacket end='w'?>";

/**
 * @param path of the finished JPEG, upright and with its metadata; it is replaced at once
 * @param primitives that made it of the source's pixels
 * @param stored size of those pixels
 * @returns whether the source has a gain map that was kept. One is dropped where a step did more than scale, cut and
 *   turn by quarters: it would no longer fit.
 */
export async function keepGainMap(
  sourcePath: string,
  path: string,
  primitives: readonly Primitive[],
  stored: Size,
): Promise<boolean> {
  if (!primitives.every(isGeometry)) return false;
  const source = await readGainMap(sourcePath);
  if (!source) return false;
  const map = await follow(source, primitives, stored);
  if (!map) return false;
  const joined = join(await readFile(path), map, source);
  if (!joined) return false;
  await writeFile(`${path}.gain-map`, joined);
  await rename(`${path}.gain-map`, path);
  return true;
}

const isGeometry = (primitive: Primitive): boolean =>
  primitive.do === 'scale' || primitive.do === 'extract' || primitive.do === 'orient';

/** The gain map after the same steps, at its own scale. Undefined where it cannot be decoded. */
async function follow(
  source: GainMap,
  primitives: readonly Primitive[],
  stored: Size,
): Promise<Buffer | undefined> {
  // Its values are factors, no colours: a profile does not concern them.
  const image = sharp(source.jpeg, { ignoreIcc: true, limitInputPixels: stored.width * stored.height });
  let pixels: Pixels;
  let space: 'b-w' | 'srgb';
  try {
    space = (await image.metadata()).channels === 1 ? 'b-w' : 'srgb';
    pixels = await rawOf(image.toColourspace(space));
  } catch {
    return undefined;
  }
  const own: Primitive[] = [];
  let at: Size = pixels;
  let picture = stored;
  for (const primitive of primitives) {
    const next = scaled(primitive, at, picture);
    own.push(next);
    [at, picture] = [sizeAfter(next, at), sizeAfter(primitive, picture)];
  }
  for (const stage of stagesOf(own)) {
    pixels = await rawOf(applyStage(pipelineOf(pixels), stage).toColourspace(space));
  }
  return pipelineOf(pixels)
    .toColourspace(space)
    .jpeg({ quality: QUALITY, chromaSubsampling: '4:4:4' })
    .toBuffer();
}

async function rawOf(image: Sharp): Promise<Pixels> {
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels, depth: 8 };
}

/** A step on the picture as a step on its gain map. */
function scaled(primitive: Primitive, map: Size, picture: Size): Primitive {
  const x = map.width / picture.width;
  const y = map.height / picture.height;
  const within = (value: number, least: number, most: number) =>
    Math.max(least, Math.min(most, Math.round(value)));
  if (primitive.do === 'scale') {
    // Never more pixels than it had: there is nothing in between.
    const width = within(primitive.width * x, 1, map.width);
    return { do: 'scale', width, height: within(primitive.height * y, 1, map.height) };
  }
  if (primitive.do !== 'extract') return primitive;
  const left = within(primitive.left * x, 0, map.width - 1);
  const top = within(primitive.top * y, 0, map.height - 1);
  return {
    ...{ do: 'extract', left, top },
    width: within(primitive.width * x, 1, map.width - left),
    height: within(primitive.height * y, 1, map.height - top),
  };
}

/** Picture, index and gain map in one file; undefined where its XMP has no room left. */
function join(picture: Buffer, mapPixels: Buffer, source: GainMap): Buffer | undefined {
  const map = Buffer.concat([mapPixels.subarray(0, 2), ...source.segments, mapPixels.subarray(2)]);
  const segments = jpegSegments(picture);
  const xmp = segments.find(
    ({ marker, body }) => marker === 0xe1 && body.toString('latin1', 0, XMP_NAME.length) === XMP_NAME,
  );
  const said = source.kind === 'hdrgm' ? withContainer(xmp, map.length) : undefined;
  if (source.kind === 'hdrgm' && !said) return undefined;
  // Behind the last of its own application segments.
  const end = segments.find(({ marker }) => marker < 0xe0 || marker > 0xef)?.at ?? 2;
  const kept = segments.filter((segment) => segment.at < end && !(said && segment === xmp));
  const iso = source.isoVersion ? [source.isoVersion] : [];
  const head = [picture.subarray(0, 2), ...kept.map(({ whole }) => whole), ...(said ? [said] : []), ...iso];
  const indexAt = head.reduce((sum, part) => sum + part.length, 0);
  const size = indexAt + MPF_BYTES + picture.length - end;
  return Buffer.concat([...head, mpf(indexAt, size, map.length), picture.subarray(end), map]);
}

/** XMP of the picture that names its gain map (Ultra HDR Image Format 1.0), beside what it says already. */
function withContainer(xmp: JpegSegment | undefined, mapBytes: number): Buffer | undefined {
  const container = `<rdf:Description rdf:about='' xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' xmlns:Container='http://ns.google.com/photos/1.0/container/' xmlns:Item='http://ns.google.com/photos/1.0/container/item/' hdrgm:Version='1.0'><Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><Container:Item Item:Semantic='Primary' Item:Mime='image/jpeg'/></rdf:li><rdf:li rdf:parseType='Resource'><Container:Item Item:Semantic='GainMap' Item:Mime='image/jpeg' Item:Length='${mapBytes}'/></rdf:li></rdf:Seq></Container:Directory></rdf:Description>`;
  const text = xmp ? xmp.body.toString('latin1', XMP_NAME.length) : EMPTY_PACKET;
  const at = text.lastIndexOf('</rdf:RDF>');
  if (at < 0) return undefined;
  const body = Buffer.from(XMP_NAME + text.slice(0, at) + container + text.slice(at), 'latin1');
  if (body.length > MAX_SEGMENT_BODY) return undefined;
  const head = Buffer.from([0xff, 0xe1, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([head, body]);
}

const MPF_BYTES = 90;

/** The index of two pictures, which begins at `at` of the file; offsets count from its byte order mark. */
function mpf(at: number, pictureBytes: number, mapBytes: number): Buffer {
  const segment = Buffer.alloc(MPF_BYTES);
  segment.write('\xff\xe2\0\x58MPF\0MM\0*\0\0\0\x08\0\x03', 'latin1');
  const entry = (i: number, tag: number, type: number, count: number) => {
    segment.writeUInt16BE(tag, 18 + i * 12);
    segment.writeUInt16BE(type, 20 + i * 12);
    segment.writeUInt32BE(count, 22 + i * 12);
  };
  entry(0, 0xb000, 7, 4);
  segment.write('0100', 26, 'latin1');
  entry(1, 0xb001, 4, 1);
  segment.writeUInt32BE(2, 38);
  entry(2, 0xb002, 7, 32);
  segment.writeUInt32BE(50, 50);
  const baselinePrimary = 0x03_0000;
  segment.writeUInt32BE(baselinePrimary, 58);
  segment.writeUInt32BE(pictureBytes, 62);
  segment.writeUInt32BE(mapBytes, 78);
  segment.writeUInt32BE(pictureBytes - (at + 8), 82);
  return segment;
}

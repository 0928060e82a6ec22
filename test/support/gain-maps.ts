/** HDR JPEGs with a gain map behind the picture, put together byte by byte. */
import sharp from 'sharp';
import type { Picture } from './pictures.ts';

export type Dialect = 'hdrgm' | 'apple';

const XMP_OF_MAP: Record<Dialect, string> = {
  hdrgm: `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" hdrgm:GainMapMin="0" hdrgm:GainMapMax="2" hdrgm:Gamma="1" hdrgm:OffsetSDR="0.015625" hdrgm:OffsetHDR="0.015625" hdrgm:HDRCapacityMin="0" hdrgm:HDRCapacityMax="2" hdrgm:BaseRenditionIsHDR="False"/></rdf:RDF></x:xmpmeta>`,
  apple: `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/" xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/"><apdi:AuxiliaryImageType>urn:com:apple:photo:2020:aux:hdrgainmap</apdi:AuxiliaryImageType><HDRGainMap:HDRGainMapVersion>131072</HDRGainMap:HDRGainMapVersion><HDRGainMap:HDRGainMapHeadroom>4</HDRGainMap:HDRGainMapHeadroom></rdf:Description></rdf:RDF></x:xmpmeta>`,
};

function segment(marker: number, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string, 'latin1')));
  return Buffer.concat([Buffer.from([0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255]), body]);
}

const behindStart = (jpeg: Buffer, ...segments: Buffer[]): Buffer =>
  Buffer.concat([jpeg.subarray(0, 2), ...segments, jpeg.subarray(2)]);

/**
 * @param map one channel, of any size with the picture's proportions
 * @param ownSegments of the picture, before all others
 */
export async function hdrJpeg(
  picture: Picture,
  map: { data: Uint8Array; width: number; height: number },
  dialect: Dialect,
  { orientation = 1, littleEndian = false }: { orientation?: number; littleEndian?: boolean } = {},
): Promise<Buffer> {
  const { width, height } = picture;
  let base = sharp(picture.data, { raw: { width, height, channels: 3 } });
  if (orientation !== 1) base = base.withMetadata({ orientation });
  const gray = sharp(map.data, { raw: { width: map.width, height: map.height, channels: 1 } });
  const mapJpeg = behindStart(
    await gray.toColourspace('b-w').jpeg({ quality: 100 }).toBuffer(),
    segment(0xe1, 'http://ns.adobe.com/xap/1.0/\0', XMP_OF_MAP[dialect]),
  );
  const jpeg = await base.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer();
  const xmp = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:Container="http://ns.google.com/photos/1.0/container/" xmlns:Item="http://ns.google.com/photos/1.0/container/item/" hdrgm:Version="1.0"><Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="${mapJpeg.length}"/></rdf:li></rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>`;
  const own = dialect === 'hdrgm' ? [segment(0xe1, 'http://ns.adobe.com/xap/1.0/\0', xmp)] : [];
  const indexBytes = 90;
  const at = 2 + own.reduce((sum, part) => sum + part.length, 0);
  const pictureBytes = jpeg.length + at - 2 + indexBytes;
  const index = mpf(pictureBytes, mapJpeg.length, pictureBytes - (at + 8), littleEndian);
  return Buffer.concat([behindStart(jpeg, ...own, index), mapJpeg]);
}

function mpf(pictureBytes: number, mapBytes: number, mapOffset: number, little: boolean): Buffer {
  const u16 = (n: number) => (little ? [n & 255, n >> 8] : [n >> 8, n & 255]);
  const u32 = (n: number) =>
    little ? [...u16(n & 0xffff), ...u16(n >>> 16)] : [...u16(n >>> 16), ...u16(n & 0xffff)];
  const tiff = [
    ...(little ? [0x49, 0x49] : [0x4d, 0x4d]),
    ...[...u16(42), ...u32(8), ...u16(3)],
    ...[...u16(0xb000), ...u16(7), ...u32(4), 0x30, 0x31, 0x30, 0x30],
    ...[...u16(0xb001), ...u16(4), ...u32(1), ...u32(2)],
    ...[...u16(0xb002), ...u16(7), ...u32(32), ...u32(50), ...u32(0)],
    ...[...u32(0x03_0000), ...u32(pictureBytes), ...u32(0), ...u32(0)],
    ...[...u32(0), ...u32(mapBytes), ...u32(mapOffset), ...u32(0)],
  ];
  return segment(0xe2, 'MPF\0', Buffer.from(tiff));
}

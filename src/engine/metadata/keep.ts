/**
 * `metadata=keep`: EXIF, GPS, XMP, IPTC and maker notes go from the source into a rendition, except what is not
 * true of the rendition's pixels. One exiftool command, with exiftool's tag names
 * (https://exiftool.org/TagNames/): in a copy later arguments win, and `#` copies the value itself, not its text.
 */
import { rm } from 'node:fs/promises';
import sharp from 'sharp';
import type { OutputFormat } from '../../contract/plan.ts';
import type { Facts } from '../types.ts';
import { type CommandOptions, runExiftool, withPlainName } from './exiftool.ts';

export interface KeepTarget {
  path: string;
  format: OutputFormat;
  /** Pixels of the rendition. */
  width: number;
  height: number;
  /** They are not where they were in the source, though there may be as many of them: mirrored, cut, turned. */
  moved?: boolean;
}

/**
 * Writes the source's metadata into the rendition, in place: a temporary file in the same folder is renamed over
 * it, so it is whole at any moment. The rendition must be sRGB, upright and free of metadata.
 *
 * What a format cannot hold is left out: GIF takes XMP only (EXIF and GPS become XMP there), WebP and AVIF no IPTC
 * (it becomes XMP), BMP nothing. A value that is invalid (a latitude of 999, a 99th month), damaged or of an XMP
 * schema unknown to exiftool is left out as well, and metadata that cannot be read at all leaves the rendition as
 * it is: `warnings` says so, for the log. Text is copied as it is and stays untrusted.
 *
 * @throws Problem as `runExiftool` does: `processing_timeout`, `memory_exceeded`, `cancelled`, `dependency_down`,
 *   `metadata_failed`
 */
export async function keepMetadata(
  sourcePath: string,
  target: KeepTarget,
  source: Facts,
  options: CommandOptions = {},
): Promise<{ warnings: string[] }> {
  if (target.format === 'bmp' || target.format === 'svg' || source.format === 'bmp') return { warnings: [] };
  if (await holdsNone(sourcePath, source)) return { warnings: [] };
  try {
    return await withPlainName(sourcePath, async (path) => {
      const { warnings, errors } = await runExiftool(keepArguments(path, target, source), options);
      const expected = source.family === 'video' ? NO_WARNING_OF_VIDEO : NO_WARNING;
      return { warnings: [...errors, ...warnings.filter((text) => !expected.test(text))] };
    });
  } catch (error) {
    await rm(`${target.path}_exiftool_tmp`, { force: true });
    throw error;
  }
}

/** A look at the headers that saves a command; in doubt the answer is no. */
async function holdsNone(path: string, { format }: Facts): Promise<boolean> {
  if (format !== 'jpeg' && format !== 'png' && format !== 'webp') return false;
  try {
    const { exif, xmp, iptc, comments } = await sharp(path).metadata();
    return !exif && !xmp && !iptc && !comments?.length;
  } catch {
    return false;
  }
}

/** Exported for the test. */
function keepArguments(sourcePath: string, target: KeepTarget, source: Facts): string[] {
  const { format, width, height, moved = false } = target;
  const holdsExif = format !== 'gif';
  const holdsIptc = format === 'jpeg' || format === 'png' || format === 'apng' || format === 'tiff';
  // Only these decoders leave the turning to us: of the others it is not known whether they have turned.
  const samePixels =
    source.family === 'libvips' &&
    source.format !== 'avif' &&
    source.orientation === 1 &&
    !moved &&
    width === source.width &&
    height === source.height;
  const pictures = [
    ...((source.format === 'crw' || source.format === 'raw') && holdsExif ? RAW : []),
    ...(source.format === 'png' ? PNG_TEXT : []),
    ...(holdsIptc ? IPTC : IPTC_AS_XMP),
    ...(holdsExif ? EXIF : EXIF_AS_XMP),
    ...XMP,
    ...(samePixels ? [] : OF_OTHER_PIXELS),
  ];
  return [
    '-m',
    '-tagsFromFile',
    sourcePath,
    ...(source.family === 'video' ? [...(holdsExif ? VIDEO : VIDEO_AS_XMP), ...VIDEO_TEXT] : pictures),
    ...(holdsExif
      ? [
          '-IFD0:Orientation#=1',
          '-ExifIFD:ColorSpace#=1',
          '-InteropIFD:InteropIndex=R98',
          `-ExifIFD:ExifImageWidth=${width}`,
          `-ExifIFD:ExifImageHeight=${height}`,
        ]
      : []),
    '-overwrite_original',
    target.path,
  ];
}

/** An absent coordinate is reported like an invalid one, and a file without metadata as well. */
const NO_WARNING =
  /^(Error converting value for \S*GPS|Argument "" isn't numeric in abs|No writable tags set)/;

/** And a date that a video does not have. */
const NO_WARNING_OF_VIDEO = new RegExp(`${NO_WARNING.source}|^Invalid date/time`);

/** A value of the source, in degrees, or none where it is out of bounds. */
const degrees = (tag: string, limit: number) => `\${${tag}#;$_ = undef if abs($_) > ${limit}}`;

/** What the source's file, layout and colours were. */
const NOT_OF_THE_RENDITION = except(
  'Orientation PreviewImage ThumbnailImage JpgFromRaw OtherImage ColorSpace InteropIndex ExifImageWidth',
  'ExifImageHeight WhitePoint PrimaryChromaticities TransferFunction ReferenceBlackWhite YCbCrCoefficients Gamma',
  'CFAPattern CFAPlaneColor CFALayout ComponentsConfiguration CompressedBitsPerPixel InkSet InkNames PageNumber',
  'PageName DocumentName GDALMetadata GDALNoData ModelTransform ModelTiePoint PixelScale GeoTiffDirectory GeoTiffDoubleParams',
  'GeoTiffAsciiParams',
  'UniqueCameraModel LocalizedCameraModel DNGLensInfo',
  'ImageSourceData DNGPrivateData',
);

/**
 * By directory, so that thumbnails (IFD1), RAW directories (SubIFD) and further pages stay behind; tags of a TIFF's
 * layout and of DNG are protected in exiftool and not copied by `all`. IFD0 goes to where each tag belongs, since
 * TIFF/EP has some of EXIF's there. Maker notes go as a block, from which exiftool takes previews and large tags.
 * Dates go by their text, which exiftool checks, coordinates by an expression: an undefined one is not copied. (Each
 * expression costs some 4 ms of CPU; XMP's coordinates, which follow EXIF's, have none.)
 */
const EXIF = [
  '-EXIF:all#<IFD0:all#',
  '-ExifIFD:all#',
  '-GPS:all#',
  '-MakerNotes',
  ...NOT_OF_THE_RENDITION,
  '--GPS:GPSLatitude',
  '--GPS:GPSLongitude',
  `-GPS:GPSLatitude#<${degrees('GPS:GPSLatitude', 90)}`,
  `-GPS:GPSLongitude#<${degrees('GPS:GPSLongitude', 180)}`,
  ...except('EXIF:ModifyDate EXIF:DateTimeOriginal EXIF:CreateDate'),
  '-EXIF:ModifyDate',
  '-EXIF:DateTimeOriginal',
  '-EXIF:CreateDate',
];

/** With `all:all` each schema stays itself; `XMP:all` alone would file tags under the schema that exiftool prefers. */
const XMP = [
  '-all:all#<XMP:all#',
  ...except(
    'XMP-tiff:Orientation XMP-tiff:ImageWidth XMP-tiff:ImageHeight XMP-tiff:BitsPerSample XMP-tiff:Compression',
    'XMP-tiff:PhotometricInterpretation XMP-tiff:SamplesPerPixel XMP-tiff:PlanarConfiguration XMP-tiff:WhitePoint',
    'XMP-tiff:YCbCrSubSampling XMP-tiff:YCbCrPositioning XMP-tiff:YCbCrCoefficients XMP-tiff:TransferFunction',
    'XMP-tiff:PrimaryChromaticities XMP-tiff:ReferenceBlackWhite XMP-tiff:NativeDigest XMP-exif:NativeDigest',
    'XMP-exif:ExifImageWidth XMP-exif:ExifImageHeight XMP-exif:ColorSpace XMP-exif:ComponentsConfiguration',
    'XMP-exif:CompressedBitsPerPixel XMP-exif:CFAPattern XMP-exifEX:Gamma XMP-exifEX:InteropIndex',
    'XMP-photoshop:ICCProfileName XMP-photoshop:ColorMode XMP-photoshop:DocumentAncestors',
    'XMP-xmp:Thumbnails XMP-xmp:PageInfo XMP-dc:Format',
    // Settings for pixels that are developed by now.
    'XMP-crs:all XMP-crd:all XMP-crss:all XMP-lr:PrivateRTKInfo',
    // Directions to what was embedded in or appended to the source: motion, gain map, depth, uncropped original.
    'XMP-GCamera:all XMP-GContainer:all XMP-Container:all XMP-GSpherical:all XMP-hdrgm:all XMP-HDRGainMap:all',
    'XMP-apdi:all XMP-GDepth:all XMP-GImage:all XMP-GAudio:all XMP-GFocus:all XMP-GCreations:all XMP-Device:all',
  ),
];

/** Positions and sizes in the source's pixels. */
const OF_OTHER_PIXELS = except(
  'EXIF:SubjectArea EXIF:SubjectLocation EXIF:FocalPlaneXResolution EXIF:FocalPlaneYResolution',
  'EXIF:FocalPlaneResolutionUnit XMP-exif:SubjectArea XMP-exif:SubjectLocation XMP-exif:FocalPlaneXResolution',
  'XMP-exif:FocalPlaneYResolution XMP-exif:FocalPlaneResolutionUnit XMP-GPano:all XMP-mwg-rs:all XMP-MP:all',
  'XMP-MP1:all XMP-iptcExt:ImageRegion',
);

const IPTC = ['-IPTC:CodedCharacterSet', '-IPTC:all#'];

/** After `iptc2xmp.args` of exiftool, for what the two schemas have in common. */
const IPTC_AS_XMP = [
  '-XMP-dc:Title<IPTC:ObjectName',
  '-XMP-dc:Subject<IPTC:Keywords',
  '-XMP-dc:Creator<IPTC:By-line',
  '-XMP-dc:Description<IPTC:Caption-Abstract',
  '-XMP-dc:Rights<IPTC:CopyrightNotice',
  '-XMP-photoshop:AuthorsPosition<IPTC:By-lineTitle',
  '-XMP-photoshop:CaptionWriter<IPTC:Writer-Editor',
  '-XMP-photoshop:City<IPTC:City',
  '-XMP-photoshop:Country<IPTC:Country-PrimaryLocationName',
  '-XMP-photoshop:Credit<IPTC:Credit',
  '-XMP-photoshop:Headline<IPTC:Headline',
  '-XMP-photoshop:Instructions<IPTC:SpecialInstructions',
  '-XMP-photoshop:Source<IPTC:Source',
  '-XMP-photoshop:State<IPTC:Province-State',
  '-XMP-photoshop:TransmissionReference<IPTC:OriginalTransmissionReference',
  '-XMP-iptcCore:CountryCode<IPTC:Country-PrimaryLocationCode',
  '-XMP-iptcCore:Location<IPTC:Sub-location',
];

/** For GIF. The composite coordinates carry their hemisphere, as XMP's do. */
const EXIF_AS_XMP = [
  '-XMP-exif:all#<ExifIFD:all#',
  ...NOT_OF_THE_RENDITION,
  ...except('ExifIFD:DateTimeOriginal ExifIFD:CreateDate'),
  '-XMP-exif:DateTimeOriginal<ExifIFD:DateTimeOriginal',
  '-XMP-exif:DateTimeDigitized<ExifIFD:CreateDate',
  '-XMP-exifEX:LensModel<ExifIFD:LensModel',
  '-XMP-tiff:Make<IFD0:Make',
  '-XMP-tiff:Model<IFD0:Model',
  '-XMP-xmp:CreatorTool<IFD0:Software',
  '-XMP-dc:Creator<IFD0:Artist',
  '-XMP-dc:Rights<IFD0:Copyright',
  '-XMP-dc:Description<IFD0:ImageDescription',
  `-XMP-exif:GPSLatitude#<${degrees('Composite:GPSLatitude', 90)}`,
  `-XMP-exif:GPSLongitude#<${degrees('Composite:GPSLongitude', 180)}`,
  '-XMP-exif:GPSAltitude<GPS:GPSAltitude',
  '-XMP-exif:GPSAltitudeRef<GPS:GPSAltitudeRef',
];

/** Text chunks become EXIF and XMP, which outlive the format; what the file has of those wins. */
const PNG_TEXT = [
  '-XMP-dc:Title<PNG:Title',
  '-XMP-dc:Description<PNG:Description',
  '-XMP-dc:Creator<PNG:Author',
  '-XMP-dc:Creator<PNG:Artist',
  '-XMP-dc:Rights<PNG:Copyright',
  '-XMP-xmp:CreatorTool<PNG:Software',
];

/** RAW files without EXIF (CRW, X3F, …) have the like under names of their own; EXIF wins where there is some. */
const RAW = [
  '-EXIF:Make<Make',
  '-EXIF:Model<Model',
  '-EXIF:Artist<OwnerName',
  '-EXIF:DateTimeOriginal<DateTimeOriginal',
  '-EXIF:CreateDate<DateTimeOriginal',
  '-EXIF:ExposureTime#<ExposureTime#',
  '-EXIF:FNumber#<FNumber#',
  '-EXIF:ISO#<ISO#',
  '-EXIF:FocalLength#<FocalLength#',
  '-EXIF:LensModel<LensModel',
  '-EXIF:SerialNumber<SerialNumber',
];

/** A date that was never set is all zeros; one that is not there at all is empty. */
const dateOf = (tag: string, then = '') => `\${${tag};$_ = undef unless /^(?!0000)[0-9]{4}:/;${then}}`;

/**
 * A video tells of its camera in QuickTime's tags, or in Matroska's. Its header counts in UTC, and some cameras note
 * their own time as well, which is written later and wins.
 */
const VIDEO = [
  '-EXIF:Make<QuickTime:AndroidMake',
  '-EXIF:Make<QuickTime:Make',
  '-EXIF:Model<QuickTime:AndroidModel',
  '-EXIF:Model<QuickTime:Model',
  '-EXIF:LensModel<QuickTime:CameraLensModel',
  '-EXIF:Software<QuickTime:Software',
  ...['QuickTime:CreateDate', 'Matroska:DateTimeOriginal'].flatMap((tag) => [
    `-EXIF:DateTimeOriginal<${dateOf(tag)}`,
    `-EXIF:OffsetTimeOriginal<${dateOf(tag, '$_ = "+00:00" if defined')}`,
  ]),
  '-EXIF:DateTimeOriginal<QuickTime:CreationDate',
  '-EXIF:OffsetTimeOriginal<QuickTime:CreationDate',
  `-GPS:GPSLatitude#<${degrees('Composite:GPSLatitude', 90)}`,
  '-GPS:GPSLatitudeRef<Composite:GPSLatitude#',
  `-GPS:GPSLongitude#<${degrees('Composite:GPSLongitude', 180)}`,
  '-GPS:GPSLongitudeRef<Composite:GPSLongitude#',
  '-GPS:GPSAltitude<Composite:GPSAltitude',
  '-GPS:GPSAltitudeRef<Composite:GPSAltitude#',
];

/** For GIF. */
const VIDEO_AS_XMP = [
  '-XMP-tiff:Make<QuickTime:Make',
  '-XMP-tiff:Model<QuickTime:Model',
  '-XMP-xmp:CreatorTool<QuickTime:Software',
  ...['QuickTime:CreateDate', 'Matroska:DateTimeOriginal'].map(
    (tag) => `-XMP-exif:DateTimeOriginal<${dateOf(tag, '$_ .= "Z" if defined and !/Z$/')}`,
  ),
  '-XMP-exif:DateTimeOriginal<QuickTime:CreationDate',
  `-XMP-exif:GPSLatitude#<${degrees('Composite:GPSLatitude', 90)}`,
  `-XMP-exif:GPSLongitude#<${degrees('Composite:GPSLongitude', 180)}`,
  '-XMP-exif:GPSAltitude<Composite:GPSAltitude',
];

const VIDEO_TEXT = [
  '-XMP-dc:Title<Matroska:Title',
  '-XMP-dc:Title<QuickTime:Title',
  '-XMP-dc:Description<QuickTime:Description',
  '-XMP-dc:Creator<QuickTime:Artist',
  '-XMP-dc:Rights<QuickTime:Copyright',
];

/** Takes tags back out of the copies before it. */
function except(...lists: string[]): string[] {
  return lists.flatMap((list) => list.split(' ')).map((tag) => `--${tag}`);
}

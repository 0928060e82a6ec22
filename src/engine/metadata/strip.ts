/**
 * `metadata=strip`: nothing is left in a rendition that identifies a person, a place, a device or a time; the
 * embedded thumbnail, which may show what was cropped away, is gone as well. There is nothing to do for it: every
 * rendition is encoded anew from pixels, and the encoders write no metadata unless asked, nor an ICC profile,
 * since pixels are sRGB by then. So this room only holds the proof, for tests.
 */
import { runExiftool, withPlainName } from './exiftool.ts';

/** What the pixels need, in any format. */
const STRUCTURAL_TAGS = new Set([
  ...['ImageWidth', 'ImageHeight', 'ImageSize', 'Megapixels', 'BitsPerSample', 'BitDepth', 'ColorType'],
  ...[
    'ColorComponents',
    'YCbCrSubSampling',
    'EncodingProcess',
    'Compression',
    'Filter',
    'Interlace',
    'Palette',
  ],
  ...['Transparency', 'BackgroundColor', 'ColorResolutionDepth', 'HasColorMap', 'FrameCount', 'Duration'],
  ...[
    'AnimationIterations',
    'AnimationLoopCount',
    'AnimationFrames',
    'AnimationPlays',
    'GIFVersion',
    'WebP_Flags',
  ],
  ...['VP8Version', 'VP8Bitstream', 'HorizontalScale', 'VerticalScale', 'AlphaIsUsed', 'AlphaFiltering'],
  ...[
    'AlphaPreprocessing',
    'AlphaCompression',
    'JFIFVersion',
    'ResolutionUnit',
    'XResolution',
    'YResolution',
  ],
  ...['PixelsPerUnitX', 'PixelsPerUnitY', 'PixelUnits', 'DCTEncodeVersion', 'APP14Flags0', 'APP14Flags1'],
  ...['ColorTransform', 'SubfileType', 'NewSubfileType', 'PhotometricInterpretation', 'StripOffsets'],
  ...[
    'StripByteCounts',
    'RowsPerStrip',
    'SamplesPerPixel',
    'PlanarConfiguration',
    'Orientation',
    'Predictor',
  ],
  ...[
    'SampleFormat',
    'ExtraSamples',
    'TileWidth',
    'TileLength',
    'TileOffsets',
    'TileByteCounts',
    'JPEGTables',
  ],
  ...[
    'MajorBrand',
    'MinorVersion',
    'CompatibleBrands',
    'HandlerType',
    'HandlerDescription',
    'PrimaryItemReference',
  ],
  ...['MetaImageSize', 'ImageSpatialExtent', 'ImagePixelDepth', 'AV1ConfigurationVersion', 'ChromaFormat'],
  ...[
    'ChromaSamplePosition',
    'ColorProfiles',
    'ColorPrimaries',
    'TransferCharacteristics',
    'MatrixCoefficients',
  ],
  ...['VideoFullRangeFlag', 'MediaDataSize', 'MediaDataOffset', 'AuxiliaryImageType', 'BMPVersion', 'Planes'],
  ...['BitsPerPixel', 'TransparentColor', 'RenderingIntent'],
  ...['ImageLength', 'NumColors', 'NumImportantColors', 'RedMask', 'GreenMask', 'BlueMask', 'AlphaMask'],
  ...['ColorSpace', 'PixelsPerMeterX', 'PixelsPerMeterY', 'NumberOfImages', 'MIMEType', 'FileType'],
]);

/**
 * Names, as `group:tag`, of what a file says beyond its own structure, by `exiftool -a -G1 -ee`: empty for a
 * stripped rendition.
 * @throws Problem as `runExiftool` does
 */
export async function identifyingTags(path: string): Promise<string[]> {
  const { stdout } = await withPlainName(path, (plainPath) =>
    runExiftool(['-m', '-a', '-G1', '-ee', '-j', plainPath]),
  );
  const [tags = {}] = JSON.parse(stdout) as Record<string, unknown>[];
  return Object.keys(tags).filter((key) => {
    const [group = '', tag = ''] = key.split(':');
    if (key === 'SourceFile' || group === 'ExifTool' || group === 'System' || group.startsWith('ICC'))
      return false;
    if (group === 'File' && /^(FileType|FileTypeExtension|MIMEType|ExifByteOrder)$/.test(tag)) return false;
    return !STRUCTURAL_TAGS.has(tag);
  });
}

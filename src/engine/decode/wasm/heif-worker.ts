/** Worker thread: HEIC and HEIF through libheif. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { Problem } from '../../../problem.ts';
import * as h from './libheif.ts';
import { type Served, serve } from './serve.ts';

export interface HeifRequest {
  path: string;
  maxPixels: number;
}

export interface HeifReply {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 3 | 4;
  icc?: Uint8Array;
}

/** What libheif may allocate: planes and the interleaved picture at 16 bits, twice, while one becomes the other. */
const MAX_BYTES_PER_PIXEL = 24;
const FIXED_BYTES = 64 * 1024 * 1024;

/** Colour codes that libheif does not know; the pixels are whole. */
const HARMLESS_WARNINGS = new Set([133, 134, 135]);

serve<HeifRequest, HeifReply>(async (wasm) => {
  const heif = h.LibHeif.start(wasm);
  return { decode: (request) => decode(heif, request), heapBytes: () => heif.heapBytes };
});

function decode(heif: h.LibHeif, request: HeifRequest): Served<HeifReply> {
  try {
    return decodePrimary(heif, request);
  } catch (error) {
    if (!(error instanceof h.HeifError)) throw error;
    throw new Problem('undecodable_image', {
      detail: `HEIC: ${error.message.trim() || 'the picture data is damaged or incomplete'}`,
      cause: error,
    });
  }
}

function decodePrimary(heif: h.LibHeif, { path, maxPixels }: HeifRequest): Served<HeifReply> {
  const { api } = heif;
  using cleanup = new DisposableStack();
  const { pointer: file, size } = readIntoHeap(heif, path);
  cleanup.adopt(file, api._free);

  const context = cleanup.adopt(api._heif_context_alloc(), api._heif_context_free);
  heif.check((e) => api._heif_context_read_from_memory_without_copy(e, context, file, size, 0));
  const handle = cleanup.adopt(
    heif.checkOut((e, out) => api._heif_context_get_primary_image_handle(e, context, out)),
    api._heif_image_handle_release,
  );
  const coded = {
    width: api._heif_image_handle_get_ispe_width(handle),
    height: api._heif_image_handle_get_ispe_height(handle),
  };
  requireAtMost(maxPixels, coded.width, coded.height);
  heif.setLimits(context, {
    maxImageSizePixels: Math.max(maxPixels, padded(coded.width) * padded(coded.height)),
    maxTotalMemory: maxPixels * MAX_BYTES_PER_PIXEL + FIXED_BYTES,
  });

  const alpha = api._heif_image_handle_has_alpha_channel(handle) !== 0;
  const chroma = alpha ? h.CHROMA_INTERLEAVED_RGBA : h.CHROMA_INTERLEAVED_RGB;
  const image = cleanup.adopt(
    heif.checkOut((e, out) => api._heif_decode_image(e, handle, out, h.COLORSPACE_RGB, chroma, 0)),
    api._heif_image_release,
  );
  const damage = decodingWarnings(heif, image).find((w) => !HARMLESS_WARNINGS.has(w.subcode));
  if (damage) throw damage;

  const channels = alpha ? 4 : 3;
  const pixels = copyPixels(heif, image, channels);
  if (alpha && api._heif_image_handle_is_premultiplied_alpha(handle) !== 0) unpremultiply(pixels.data);
  const icc = rgbProfile(heif, handle);
  return {
    reply: { ...pixels, channels, ...(icc && { icc }) },
    transfer: [pixels.data.buffer],
  };
}

function requireAtMost(maxPixels: number, width: number, height: number): void {
  if (width * height <= maxPixels) return;
  throw new Problem('image_too_large', {
    detail: `Expected at most ${maxPixels} pixels, found ${width} × ${height}.`,
  });
}

/** HEVC codes whole blocks, of 64 pixels at most. */
const padded = (side: number): number => Math.ceil(side / 64) * 64;

/** The file goes straight into WebAssembly memory, without a copy on the JavaScript side. */
function readIntoHeap(heif: h.LibHeif, path: string): { pointer: number; size: number } {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const pointer = heif.allocate(size);
    const target = heif.bytes(pointer, size);
    let done = 0;
    while (done < size) {
      const read = readSync(fd, target, done, size - done, done);
      if (read === 0) break;
      done += read;
    }
    return { pointer, size: done };
  } finally {
    closeSync(fd);
  }
}

function decodingWarnings(heif: h.LibHeif, image: number): h.HeifError[] {
  const count = heif.api._heif_image_get_decoding_warnings(image, 0, 0, 0);
  if (count === 0) return [];
  const list = heif.allocate(count * h.ERROR_BYTES);
  try {
    const filled = heif.api._heif_image_get_decoding_warnings(image, 0, list, count);
    return Array.from({ length: filled }, (_, i) => heif.errorAt(list + i * h.ERROR_BYTES));
  } finally {
    heif.api._free(list);
  }
}

/** Copies the picture out of WebAssembly memory, which cannot be transferred, and drops the row padding. */
function copyPixels(heif: h.LibHeif, image: number, channels: 3 | 4) {
  const { api } = heif;
  const width = api._heif_image_get_width(image, h.CHANNEL_INTERLEAVED);
  const height = api._heif_image_get_height(image, h.CHANNEL_INTERLEAVED);
  const { pointer, stride } = heif.plane(image, h.CHANNEL_INTERLEAVED);
  const row = width * channels;
  const source = heif.bytes(pointer, stride * (height - 1) + row);
  // Every byte is written below, so the buffer need not be zeroed first.
  const data = new Uint8Array(Buffer.allocUnsafeSlow(row * height).buffer);
  if (stride === row) data.set(source);
  else for (let y = 0; y < height; y++) data.set(source.subarray(y * stride, y * stride + row), y * row);
  return { data, width, height };
}

function unpremultiply(rgba: Uint8Array): void {
  for (let i = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3]!;
    if (alpha === 0 || alpha === 255) continue;
    for (let c = i; c < i + 3; c++) rgba[c] = Math.min(255, Math.round((rgba[c]! * 255) / alpha));
  }
}

/** The ICC profile, unless it describes other channels than the RGB that is returned (a grey picture's). */
function rgbProfile(heif: h.LibHeif, handle: number): Uint8Array | undefined {
  const type = heif.api._heif_image_handle_get_color_profile_type(handle);
  if (type !== h.PROFILE_RICC && type !== h.PROFILE_PROF) return undefined;
  const size = heif.api._heif_image_handle_get_raw_color_profile_size(handle);
  const pointer = heif.allocate(size);
  try {
    heif.check((e) => heif.api._heif_image_handle_get_raw_color_profile(e, handle, pointer));
    const icc = heif.bytes(pointer, size).slice();
    // ICC.1:2022, 7.2.6: the data colour space of the profile.
    return Buffer.from(icc.buffer).toString('latin1', 16, 20) === 'RGB ' ? icc : undefined;
  } finally {
    heif.api._free(pointer);
  }
}

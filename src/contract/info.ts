/** `GET …/info`: what a picture says about itself. Every text was written by strangers and is only text. */
import { z } from 'zod';

/** Longer text is cut. */
export const MAX_INFO_TEXT_CHARS = 2_000;
export const MAX_INFO_KEYWORDS = 200;

const text = z.string().min(1).max(MAX_INFO_TEXT_CHARS).nullable();
const positive = z.number().positive().nullable();

export const imageInfoSchema = z.object({
  camera_make: text,
  camera_model: text,
  lens: text,
  /** ISO 8601, e.g. `2024-05-01T10:20:30+02:00`; without an offset where the camera recorded none. */
  date_taken: z.iso.datetime({ offset: true, local: true }).nullable(),
  iso: positive,
  /** Millimetres, not converted to 35 mm. */
  focal_length: positive,
  /** The f-number. */
  aperture: positive,
  /** Seconds: `1/250` below a quarter, else `0.5`, `30`. */
  shutter_speed: text,
  /** As stored in the file, 1–8 as in EXIF. */
  orientation: z.int().min(1).max(8).nullable(),
  /** The embedded profile's name, or what else the file says, e.g. `sRGB`, `Display P3`, `CMYK`. */
  color_space: text,
  /** Decimal degrees (WGS 84) and metres above sea level. For the owner only. */
  gps: z
    .object({
      latitude: z.number().min(-90).max(90),
      longitude: z.number().min(-180).max(180),
      altitude: z.number().optional(),
    })
    .nullable(),
  title: text,
  description: text,
  keywords: z.array(z.string().min(1).max(MAX_INFO_TEXT_CHARS)).max(MAX_INFO_KEYWORDS).nullable(),
  artist: text,
  copyright: text,
  software: text,
  /** Of a video only. */
  video: z
    .object({
      /** 0 where the file does not say, as in a recording that was never finished. */
      duration_seconds: z.number().min(0),
      /** Frames a second on average. */
      frame_rate: positive,
      /** E.g. `h264`, `hevc`, `av1`, `vp9`. */
      video_codec: text,
      audio_codec: text,
    })
    .optional(),
});

export type ImageInfo = z.infer<typeof imageInfoSchema>;

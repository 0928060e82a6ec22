/**
 * What the steps are made of: exact, size-resolved operations that need no further decision. An operation of a
 * Plan turns into a few of these once the picture's size is known (`steps/index.ts`); `steps/pipeline.ts` fuses
 * them into as few libvips pipelines as can be.
 */
import type { HexColor } from '../../contract/plan.ts';
import type { Orientation } from '../types.ts';

export interface Size {
  width: number;
  height: number;
}

export type Primitive =
  | { do: 'extract'; left: number; top: number; width: number; height: number }
  /** To exactly this size, whatever the aspect. */
  | { do: 'scale'; width: number; height: number }
  /** Scale to cover and keep the part that libvips finds interesting. */
  | { do: 'smartcrop'; width: number; height: number; strategy: 'attention' | 'entropy' }
  | { do: 'extend'; left: number; top: number; right: number; bottom: number; background: HexColor }
  /** Make upright pixels that are stored with this EXIF orientation. */
  | { do: 'orient'; orientation: Orientation }
  /** Any angle that is no multiple of 90, clockwise. */
  | { do: 'rotate'; angle: number; background: HexColor }
  /** Gaussian, by its standard deviation in px. */
  | { do: 'blur'; sigma: number };

/** The size after a primitive. A free rotation grows to the bounding box. */
export function sizeAfter(primitive: Primitive, size: Size): Size {
  switch (primitive.do) {
    case 'extract':
    case 'scale':
    case 'smartcrop':
      return { width: primitive.width, height: primitive.height };
    case 'extend':
      return {
        width: size.width + primitive.left + primitive.right,
        height: size.height + primitive.top + primitive.bottom,
      };
    case 'orient':
      return primitive.orientation >= 5 ? { width: size.height, height: size.width } : size;
    case 'rotate': {
      const radians = (primitive.angle * Math.PI) / 180;
      const cos = Math.abs(Math.cos(radians));
      const sin = Math.abs(Math.sin(radians));
      return {
        width: Math.round(size.width * cos + size.height * sin),
        height: Math.round(size.width * sin + size.height * cos),
      };
    }
    case 'blur':
      return size;
  }
}

/**
 * MediaPipe's face models, out of its package: `short` sees faces that fill a seventh of its view or more, for a third
 * of the time; `full` sees them from a twelfth on.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Net, OpenCv } from '../opencv/load.ts';
import type { Own } from '../opencv/scope.ts';
import { type Face, facesFrom, type ModelLayout, scoreOf } from './decode.ts';

interface Model extends ModelLayout {
  file: string;
  scores: string;
  boxes: string;
}

const MODELS = {
  short: {
    file: 'face_detection_short_range.tflite',
    side: 128,
    grids: [
      { cells: 16, perCell: 2 },
      { cells: 8, perCell: 6 },
    ],
    minScore: 0.5,
    scores: 'classificators',
    boxes: 'regressors',
  },
  full: {
    file: 'face_detection_full_range.tflite',
    side: 192,
    grids: [{ cells: 48, perCell: 1 }],
    minScore: 0.5,
    scores: 'reshaped_classifier_face_4',
    boxes: 'reshaped_regressor_face_4',
  },
} as const satisfies Record<string, Model>;

export type ModelName = keyof typeof MODELS;
export const sideOf = (model: ModelName): number => MODELS[model].side;

const nets = new Map<ModelName, Net>();

function netOf(cv: OpenCv, name: ModelName): Net {
  const known = nets.get(name);
  if (known) return known;
  const path = createRequire(import.meta.url).resolve(`@mediapipe/face_detection/${MODELS[name].file}`);
  const net = cv.readNetFromTFLite1(readFileSync(path));
  nets.set(name, net);
  return net;
}

/**
 * The faces in one view, before suppression.
 * @param rgb 8 bits, of the model's side squared
 */
export function lookAt(cv: OpenCv, own: Own, rgb: Uint8Array, name: ModelName): Face[] {
  const model = MODELS[name];
  const net = netOf(cv, name);
  const image = own(new cv.Mat(model.side, model.side, cv.CV_8UC3));
  image.data.set(rgb);
  const size = { width: model.side, height: model.side };
  const blob = own(
    cv.blobFromImage(image, 1 / 127.5, size, [127.5, 127.5, 127.5, 0], false, false, cv.CV_32F),
  );
  net.setInput(blob);
  const logits = own(net.forward(model.scores)).data32F.slice();
  // Each output is a run of its own, and most views have no face.
  if (!logits.some((logit) => scoreOf(logit) >= model.minScore)) return [];
  const boxes = own(net.forward(model.boxes)).data32F.slice();
  return facesFrom(logits, boxes, model);
}

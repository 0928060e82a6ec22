/** The variables of the models that an operator brings. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { optional, refuse } from './forms.ts';

export const MODEL_FIELDS = {
  matteModelPath: optional(
    (text, ctx) => (statSync(text, { throwIfNoEntry: false })?.isFile() ? resolve(text) : refuse(ctx)),
    {
      name: 'MATTE_MODEL_PATH',
      form: 'a file that is there, in ONNX',
      description:
        'Model that tells the foreground of a picture from its background, for `background` by the method `model`: docs/how-to/plans.md.',
    },
  ),
};

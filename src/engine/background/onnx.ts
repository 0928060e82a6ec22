/**
 * The size of picture that an ONNX model takes, read from its file: OpenCV does not tell. Only the path to the
 * graph's inputs is followed (onnx.proto3: ModelProto.graph = 7; GraphProto.initializer = 5, input = 11).
 */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

interface Field {
  number: number;
  /** Of a varint. */
  value: number;
  /** Of everything that has a length. */
  bytes: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

function* fieldsOf(message: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined || scale > 2 ** 63) throw new RangeError('not a protobuf message');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case VARINT:
        yield { number, value: varint(), bytes: NO_BYTES };
        break;
      case LENGTH: {
        const length = varint();
        if (at + length > message.length) throw new RangeError('not a protobuf message');
        yield { number, value: 0, bytes: message.subarray(at, at + length) };
        at += length;
        break;
      }
      case FIXED64:
        at += 8;
        break;
      case FIXED32:
        at += 4;
        break;
      default:
        throw new RangeError('not a protobuf message');
    }
  }
}

const all = (message: Uint8Array, number: number): Field[] =>
  [...fieldsOf(message)].filter((field) => field.number === number);
const within = (message: Uint8Array, ...path: number[]): Uint8Array =>
  path.reduce((inner, number) => all(inner, number)[0]?.bytes ?? NO_BYTES, message);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/**
 * @returns the size of the first input of the form N × 3 × height × width; a side that the model leaves open is 0
 * @throws RangeError where the bytes are no ONNX model, or have no such input
 */
export function onnxInputSize(model: Uint8Array): { width: number; height: number } {
  const graph = within(model, 7);
  // Older files list the weights among the inputs.
  const weights = new Set(all(graph, 5).map(({ bytes }) => text(within(bytes, 8))));
  for (const { bytes: input } of all(graph, 11)) {
    if (weights.has(text(within(input, 1)))) continue;
    // ValueInfoProto.type = 2, TypeProto.tensor_type = 1, Tensor.shape = 2, TensorShapeProto.dim = 1
    const dims = all(within(input, 2, 1, 2), 1).map(({ bytes }) => all(bytes, 1)[0]?.value ?? 0);
    if (dims.length === 4 && (dims[1] === 3 || dims[1] === 0)) return { height: dims[2]!, width: dims[3]! };
  }
  throw new RangeError('no input of the form N × 3 × height × width');
}

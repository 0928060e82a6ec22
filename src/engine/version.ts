/** Part of every rendition's key: raise it when the same Plan would give other pixels. */
export const ENGINE_VERSION = '2';

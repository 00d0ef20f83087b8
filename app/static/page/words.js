// Numbers and states, as people say them.

export function bytes(count) {
  if (count < 1e6) return `${Math.max(1, Math.round(count / 1e3))} kB`;
  return count < 1e9 ? `${Math.round(count / 1e6)} MB` : `${(count / 1e9).toFixed(1)} GB`;
}

export const percent = (fraction) => `${Math.round(fraction * 100)} %`;

export function seconds(milliseconds) {
  if (milliseconds < 100) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 1 : 0)} s`;
}

export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** Cut a text for a list. */
export const brief = (text, length = 90) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

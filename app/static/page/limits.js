// What the service takes, said before anything is sent.

import { bytes, count } from "./words.js";

const { maxBytes, formats, maxPages } = document.body.dataset;
const MAX_BYTES = Number(maxBytes);
const FORMATS = formats.split(",");
const SUFFIXES = {
  JPEG: ["jpg", "jpeg", "jpe", "jfif"],
  PNG: ["png", "apng"],
  WEBP: ["webp"],
  GIF: ["gif"],
  BMP: ["bmp", "dib"],
  TIFF: ["tif", "tiff"],
  AVIF: ["avif"],
  HEIF: ["heif", "heic"],
  PDF: ["pdf"],
};
const READ = [...FORMATS, "PDF"];

const OTHERS = READ.slice(0, -1).join(", ");

export const sentence =
  `${OTHERS} and PDF, up to ${bytes(MAX_BYTES)}` +
  `${FORMATS.includes("TIFF") ? "; PDF and TIFF" : "; PDF"} up to ${count(Number(maxPages), "page")}.`;

/** For the file dialog. */
export const accept = READ.flatMap((format) => SUFFIXES[format].map((suffix) => `.${suffix}`)).join(",");

/** Say why a file cannot be read, or null. Its first bytes are the service's to judge. */
export function refusal(file) {
  if (file.size === 0) return `${file.name} is empty.`;
  if (file.size > MAX_BYTES) {
    return `${file.name} is too large: ${bytes(file.size)}, and the limit here is ${bytes(MAX_BYTES)}.`;
  }
  const suffix = file.name.includes(".") ? file.name.split(".").pop().toLowerCase() : "";
  const known = READ.some((format) => SUFFIXES[format].includes(suffix));
  const picture = READ.some((format) => file.type.endsWith(`/${format.toLowerCase()}`));
  if (known || picture || (!suffix && !file.type)) return null;
  return `${file.name} is not a picture that can be read here: choose ${OTHERS} or PDF.`;
}

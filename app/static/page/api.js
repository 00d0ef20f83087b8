// Requests to the service, and what it answers when something is wrong.

import { askForKey, keyHeaders } from "./key.js";

/** What the service says is wrong (RFC 9457). */
export class Problem extends Error {
  constructor({ title = "The service did not answer", detail = "", status = 0, request_id } = {}) {
    super(detail || title);
    this.title = title;
    this.status = status;
    this.requestId = request_id;
  }

  static of(status, body) {
    try {
      return new Problem({ ...JSON.parse(body), status });
    } catch {
      return new Problem({ title: `The service answered ${status}`, status });
    }
  }

  static unreachable() {
    return new Problem({ detail: "The service cannot be reached. Is it still running?" });
  }
}

/** Fetch from the service, with the key where there is one. Throws Problem. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...keyHeaders() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Problem.unreachable();
  }
  if (response.status === 401 && (await askForKey())) return request(path, options);
  if (!response.ok) throw Problem.of(response.status, await response.text());
  return response;
}

/** Return the form of a request to /generate-text. */
export function formOf({ file, url }, fields) {
  const form = new FormData();
  if (file) form.append("image_file", file, file.name);
  else form.append("image_url", url);
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

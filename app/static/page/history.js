// This browser's own pictures and answers, in its IndexedDB. Nothing here is ever sent.

const STORE = "answers";
const MOST = 100;
const THUMBNAIL = 160;

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const opening = indexedDB.open("image-to-text", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  return opened;
}

/** Do something with the store, in one transaction; `act` returns a request whose result is the result. */
async function within(mode, act) {
  const transaction = (await database()).transaction(STORE, mode);
  const asked = act(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(asked?.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** Keep what was said of a picture; the oldest go when there are too many. Returns its id. */
export async function keep(item) {
  const entry = {
    at: Date.now(),
    name: item.name,
    url: item.url,
    blob: item.blob,
    small: await thumbnail(item.blob),
    runs: item.runs,
  };
  if (item.kept) entry.id = item.kept;
  const id = await within("readwrite", (store) => store.put(entry));
  const ids = await within("readonly", (store) => store.getAllKeys());
  for (const old of ids.slice(0, -MOST)) await forget(old);
  return id;
}

/** All entries, the newest first. */
export async function entries() {
  return (await within("readonly", (store) => store.getAll())).reverse();
}

export const forget = (id) => within("readwrite", (store) => store.delete(id));

export const forgetAll = () => within("readwrite", (store) => store.clear());

/** True for an entry in which all words of a search occur: in its name, its texts, tags or models. */
export function matches({ name, runs }, search) {
  const held = [name, ...runs.flatMap(({ answer }) => [answer.text, answer.model, ...(answer.tags ?? [])])]
    .join("\n")
    .toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => held.includes(word));
}

async function thumbnail(blob) {
  if (!blob) return null;
  try {
    const image = await createImageBitmap(blob);
    const scale = Math.min(1, THUMBNAIL / Math.max(image.width, image.height));
    const canvas = new OffscreenCanvas(Math.max(1, image.width * scale), Math.max(1, image.height * scale));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await canvas.convertToBlob({ type: "image/webp", quality: 0.8 });
  } catch {
    // A PDF, or a picture that only the service can read.
    return null;
  }
}

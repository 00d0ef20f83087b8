// The last choice, in this browser.

const KEPT = "last-choice";

export function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

export function remember(choice) {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ ...remembered(), ...choice }));
  } catch {
    // A browser that keeps nothing: the next visit starts afresh.
  }
}

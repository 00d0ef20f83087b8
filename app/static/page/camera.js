// A photograph from this device's camera.

import { alarm, button, dialog, el } from "./dom.js";

/** Show the camera; where the page may not use it, the device's own camera app through a file field. */
export async function open(takeFiles) {
  if (!navigator.mediaDevices?.getUserMedia) return openApp(takeFiles);
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 2560 }, height: { ideal: 1920 } },
    });
  } catch (error) {
    return alarm(
      error.name === "NotAllowedError"
        ? "The browser does not let this page use the camera: allow it in the address bar, then try again."
        : "There is no camera here that can be used.",
    );
  }
  const video = el("video", {
    srcObject: stream,
    autoplay: true,
    muted: true,
    playsInline: true,
    aria: { label: "What the camera sees" },
  });
  const shoot = button(
    "Take the picture",
    async () => {
      const file = await photograph(video);
      box.close();
      takeFiles([file]);
    },
    { symbol: "camera", className: "button primary", disabled: true },
  );
  video.addEventListener("playing", () => {
    shoot.disabled = false;
  });
  const box = dialog("Camera", video, el("footer", {}, shoot));
  box.addEventListener("close", () => stream.getTracks().forEach((track) => track.stop()));
  return undefined;
}

async function photograph(video) {
  const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return new File([blob], "photo.jpg", { type: blob.type });
}

function openApp(takeFiles) {
  // Only pages from localhost or over https may see the camera; a phone's own app they may always ask for.
  const input = el("input", { type: "file", accept: "image/*" });
  input.setAttribute("capture", "environment");
  input.addEventListener("change", () => takeFiles([...input.files]));
  input.click();
}

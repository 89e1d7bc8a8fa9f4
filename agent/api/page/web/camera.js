// Reads a label by the camera: by the browser's own detector where it has one, else by a
// library that is fetched when it is wanted.
import { h } from 'webpage/dom.js';
import { t, sentence } from './text.js';
import { ask } from './net.js';
import { open } from 'webpage/dialog.js';

async function reader() {
  try {
    if ('BarcodeDetector' in window && (await BarcodeDetector.getSupportedFormats()).includes('qr_code')) {
      const d = new BarcodeDetector({ formats: ['qr_code'] });
      return async (video) => (await d.detect(video))[0]?.rawValue;
    }
  } catch {
    // one that does not work
  }
  const { decode } = await import('/scan.js');
  const canvas = document.createElement('canvas');
  const c = canvas.getContext('2d', { willReadFrequently: true });
  return async (video) => {
    // A square of the middle, small enough for an old phone.
    const side = Math.min(video.videoWidth, video.videoHeight), to = Math.min(side, 640);
    if (!to) return;
    canvas.width = canvas.height = to;
    c.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, to, to);
    try {
      return decode(c.getImageData(0, 0, to, to));
    } catch {
      return; // none in this picture
    }
  };
}

// scan calls found with the Entity ID of a label, or typed where somebody gives up.
export async function scan(found, typed) {
  const video = h('video', { muted: true, autoplay: true, playsinline: '', 'aria-label': t('camera') });
  const say = h('p.say', { role: 'alert' });
  const dim = h('p.dim', { role: 'status' }, t('camera'));
  let stream, over = false;
  const d = open(t('scan'), video, dim, say, h('div.buttons', {},
    h('button', { onclick: () => { d.close(); typed(); } }, t('type')),
    h('button', { onclick: () => d.close() }, t('cancel'))));
  d.addEventListener('close', () => {
    over = true;
    stream?.getTracks().forEach((x) => x.stop());
  });
  try {
    if (!navigator.mediaDevices) throw new DOMException('', 'NotFoundError');
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: { ideal: 1280 }, height: { ideal: 1280 } } });
    if (over) return stream.getTracks().forEach((x) => x.stop());
    video.srcObject = stream;
    await video.play();
    const read = await reader();
    for (let last = ''; !over; await new Promise((f) => setTimeout(f, 150))) {
      const text = await read(video);
      if (over || !text || text === last) continue;
      last = text;
      dim.textContent = t('reading');
      try {
        const { entity_id: id } = await ask('POST', '/v1/device', { text });
        navigator.vibrate?.(80);
        d.close();
        return found(id);
      } catch (e) {
        say.textContent = e.body?.fits ? t('mistyped') : sentence(e.message);
        dim.textContent = t('camera');
        if (!e.status) last = '';
      }
    }
  } catch (e) {
    video.hidden = true;
    dim.hidden = true;
    say.textContent = t('cameraNo', { why: e.name === 'NotAllowedError' ? t('cameraDenied') : e.name === 'NotFoundError' ? t('cameraNone') : e.message });
  }
}

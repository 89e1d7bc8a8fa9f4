// What a reader has chosen of a page, kept by the browser.
import { h } from './dom.js';
import { languages, speak, t } from './words.js';

export const stored = (name, value) => {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {
    // a browser that keeps nothing
  }
  return value;
};

// look sets the colours: 'light', 'dark', or those of the device.
export function look(chosen) {
  if (chosen) document.documentElement.dataset.look = chosen;
  else delete document.documentElement.dataset.look;
}

// choices are the fields for language and colours; draw makes the page anew.
export function choices(draw) {
  const now = document.documentElement.lang;
  const language = h('select', { id: 'language', onchange: async () => { stored('language', language.value); await speak(language.value); draw(); document.getElementById('language')?.focus(); } },
    languages.map(([tag, name]) => h('option', { value: tag, selected: tag === now, lang: tag }, name)));
  const looks = h('select', { id: 'look', onchange: () => { stored('look', looks.value); look(looks.value); } },
    [['', 'auto'], ['light', 'light'], ['dark', 'dark']].map(([v, name]) => h('option', { value: v, selected: v === (stored('look') || '') }, t(name))));
  return [h('label', { for: 'language' }, t('language')), language, h('label', { for: 'look' }, t('look2')), looks];
}

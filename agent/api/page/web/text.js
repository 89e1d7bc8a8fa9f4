// The page's words: en.js and its translations.
import en from './en.js';

// Languages, by tag; each but English is fetched when it is wanted.
const others = { de: () => import('/de.js') };
export const languages = [['en', en.name], ['de', 'Deutsch']];

let words = en;

// t is a text by its name, with {x} filled in.
export function t(name, values) {
  const text = words[name] ?? en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, x) => values?.[x] ?? whole);
}

// speak changes the language: the one that was chosen, or the phone's.
export async function speak(chosen) {
  const tag = [chosen, ...navigator.languages].map((l) => (l || '').slice(0, 2)).find((l) => l === 'en' || others[l]) || 'en';
  try {
    words = tag === 'en' ? en : (await others[tag]()).default;
  } catch {
    words = en; // without a connection
  }
  document.documentElement.lang = words === en ? 'en' : tag;
}

// span is a time in words, of seconds.
export const span = (s) => (s < 100 ? t('seconds', { n: s }) : t('minutes', { n: Math.ceil(s / 60) }));

// sentence is what the gateway says, as people begin sentences.
export const sentence = (s) => s.charAt(0).toUpperCase() + s.slice(1);

// when is a moment as the phone writes it.
const locale = () => navigator.languages.find((l) => l.startsWith(document.documentElement.lang)) || document.documentElement.lang;
export const when = (stamp) => (stamp ? new Date(stamp).toLocaleString(locale(), { dateStyle: 'short', timeStyle: 'short' }) : t('never'));

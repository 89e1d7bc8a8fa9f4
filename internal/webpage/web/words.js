// A page's words: what it says in English, and translations, each fetched when it is
// wanted; what a translation lacks is said in English.
let english = {}, words = english, others = {};
export let languages = [];

// use gives the words: English, and by language tag [its name, a function that fetches it].
export function use(en, translations) {
  english = words = en;
  others = translations;
  languages = [['en', en.name], ...Object.entries(translations).map(([tag, [name]]) => [tag, name])];
}

// t is a text by its name, with {x} filled in.
export function t(name, values) {
  const text = words[name] ?? english[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, x) => values?.[x] ?? whole);
}

// told is what a program says about a cause, which is English, in the reader's language
// where the translation has it: its list told has pairs of sentences, in which {1}, {2} is
// what differs. With it comes the language that it is in.
export function told(text) {
  for (const [from, to] of words.told || []) {
    const m = text.match(new RegExp('^' + from.replace(/[.*+?^$()[\]\\|]/g, '\\$&').replace(/\{\d\}/g, '(.+?)') + '$'));
    if (m) return { lang: document.documentElement.lang, text: to.replace(/\{(\d)\}/g, (_, n) => (m[n] === undefined ? '' : told(m[n]).text)) };
  }
  return { lang: 'en', text };
}

// speak changes the language: the one that was chosen, or the browser's.
export async function speak(chosen) {
  const tag = [chosen, ...navigator.languages].map((l) => (l || '').slice(0, 2)).find((l) => l === 'en' || others[l]) || 'en';
  try {
    words = tag === 'en' ? english : (await others[tag][1]()).default;
  } catch {
    words = english; // without a connection
  }
  document.documentElement.lang = words === english ? 'en' : tag;
}

// span is a time in words, of seconds.
export const span = (s) => (s < 100 ? t('seconds', { n: s }) : t('minutes', { n: Math.ceil(s / 60) }));

// sentence is what a program says, as people begin sentences.
export const sentence = (s) => s.charAt(0).toUpperCase() + s.slice(1);

// when is a moment as the reader writes it.
const locale = () => navigator.languages.find((l) => l.startsWith(document.documentElement.lang)) || document.documentElement.lang;
export const when = (stamp) => (stamp ? new Date(stamp).toLocaleString(locale(), { dateStyle: 'short', timeStyle: 'short' }) : t('never'));

// The page's words: en.js and its translations.
import { use } from 'webpage/words.js';
import en from './en.js';

use(en, { de: ['Deutsch', () => import('/de.js')] });
export { languages, sentence, span, speak, t, told, when } from 'webpage/words.js';

// Reads what spreadsheets and factories write: commas, semicolons or tabs, quotes, a byte
// order mark, lines that end in any way.

// records gives each record as its first line's number and its fields.
export function records(text) {
  text = text.replace(/^\ufeff/, '');
  const first = text.slice(0, text.search(/[\r\n]|$/));
  const comma = [',', ';', '\t'].sort((a, b) => first.split(b).length - first.split(a).length)[0];
  const all = [];
  let fields = [], field = '', quoted = false, line = 1, began = 1;
  const end = () => {
    fields.push(field.trim());
    field = '';
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '\n' || (c === '\r' && text[i + 1] !== '\n')) line++;
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') field += text[i++];
      else quoted = false;
    } else if (c === '"' && !field.trim()) quoted = true;
    else if (c === comma) end();
    else if (c === '\n' || c === '\r') {
      if (c === '\r' && text[i + 1] === '\n') continue;
      end();
      if (fields.some((f) => f)) all.push({ line: began, fields });
      fields = [];
      began = line;
    } else field += c;
  }
  end();
  if (fields.some((f) => f)) all.push({ line: began, fields });
  return all;
}

// table gives rows by the names of their columns, or null where a needed one is missing.
export function table(text, needed, known) {
  const [head, ...rest] = records(text);
  const at = Object.fromEntries((head?.fields || []).map((name, i) => [name.toLowerCase(), i]));
  if (needed.some((n) => !(n in at))) return null;
  return rest.map(({ line, fields }) => ({ line, ...Object.fromEntries(known.filter((n) => at[n] !== undefined).map((n) => [n, fields[at[n]] || ''])) }));
}

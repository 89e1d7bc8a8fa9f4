// Makes elements, and keeps those whose content has not changed: a list that is made anew
// loses its focus, and a screen reader its place.

// h makes an element: h('p.dim', {onclick: f}, 'text', element, …).
export function h(name, props, ...inside) {
  const [tag, ...classes] = name.split('.');
  const e = document.createElement(tag);
  if (classes.length) e.className = classes.join(' ');
  for (const [k, v] of Object.entries(props || {})) {
    if (v === undefined || v === false || v === null) continue;
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (k in e && k !== 'list' && typeof v !== 'string') e[k] = v;
    else e.setAttribute(k, v);
  }
  e.append(...inside.flat(9).filter((x) => x !== null && x !== undefined && x !== false));
  return e;
}

// icon draws one of a few lines.
export function icon(d) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', d);
  svg.append(path);
  return svg;
}

// fill puts one child for each item into a parent, and keeps those that say the same.
export function fill(parent, items, key, make) {
  const old = new Map([...parent.children].map((c) => [c.dataset.key, c]));
  let at = parent.firstChild;
  for (const item of items) {
    const k = String(key(item)), says = JSON.stringify(item) + document.documentElement.lang;
    let e = old.get(k);
    old.delete(k);
    if (!e || e.says !== says) {
      const now = make(item);
      now.dataset.key = k;
      now.says = says;
      if (e) {
        if (e.open) now.open = true;
        const focus = e.contains(document.activeElement) && document.activeElement.dataset.name;
        if (at === e) at = e.nextSibling;
        e.replaceWith(now);
        if (focus) now.querySelector(`[data-name="${focus}"]`)?.focus();
      }
      e = now;
    }
    if (e === at) at = at.nextSibling;
    else parent.insertBefore(e, at);
  }
  for (const e of old.values()) e.remove();
}

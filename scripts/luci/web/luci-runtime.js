// A stand-in for LuCI's runtime in the browser, written anew in what luci-app-pngw uses
// of it: L.require and its directives, E(), dom, poll, rpc, uci, ui, view and form. It is
// stricter in one thing: E() and dom.content(), which take a string of its own for HTML,
// refuse one, so that nothing that a device says can become any.
'use strict';
(() => {
  const env = JSON.parse(document.getElementById('env').textContent);
  window._ = (text) => env.words[text] ?? text;

  String.prototype.format = function (...values) {
    let i = 0;
    return this.replace(/%([sdt%])/g, (_, verb) => {
      if (verb === '%') return '%';
      const v = values[i++];
      if (verb === 't') return `${Math.floor(v / 3600)}h ${Math.floor(v / 60) % 60}m ${v % 60}s`;
      return verb === 'd' ? String(Math.trunc(v)) : String(v);
    });
  };

  // dom and E.
  const isNode = (v) => v instanceof Node;
  const dom = {
    elem: isNode,
    append(node, children) {
      if (Array.isArray(children)) {
        for (const c of children) {
          if (isNode(c)) node.appendChild(c);
          else if (children !== null && children !== undefined) node.appendChild(document.createTextNode(`${c}`));
        }
      } else if (isNode(children)) node.appendChild(children);
      else if (typeof children === 'function') dom.append(node, children(node));
      else if (children !== null && children !== undefined) throw new Error(`this would be HTML: ${children}`);
    },
    content(node, children) {
      node.replaceChildren();
      dom.append(node, children);
    },
  };
  window.E = (what, attrs, children) => {
    if (Array.isArray(what)) {
      const f = document.createDocumentFragment();
      dom.append(f, what);
      return f;
    }
    const node = document.createElement(what);
    for (const [name, v] of Object.entries(attrs ?? {})) {
      if (v === null || v === undefined) continue;
      if (typeof v === 'function') node.addEventListener(name, v);
      else node.setAttribute(name, v);
    }
    dom.append(node, children);
    return node;
  };

  // Classes.
  class Base {
    static extend(properties) {
      const c = class extends this {};
      Object.assign(c.prototype, properties);
      return c;
    }
  }

  // rpc.
  let request = 0;
  const rpc = {
    declare: ({ object, method, params, expect, reject }) => async (...values) => {
      const args = {};
      (params ?? []).forEach((name, i) => { if (values[i] !== undefined) args[name] = values[i]; });
      const response = await fetch('/ubus', { method: 'POST', body: JSON.stringify({ jsonrpc: '2.0', id: ++request, method: 'call', params: [env.session, object, method, args] }) });
      const { result, error } = await response.json();
      if (error) throw new Error(`RPC call to ${object}/${method} failed with error ${error.code}: ${error.message}`);
      if (reject && result[0] !== 0) throw new Error(`RPC call to ${object}/${method} failed with ubus code ${result[0]}`);
      let value = result[1];
      for (const key in expect) {
        if (value !== undefined && key !== '') value = value[key];
        if (Object.prototype.toString.call(value) !== Object.prototype.toString.call(expect[key])) value = expect[key];
      }
      return value;
    },
  };

  // uci.
  const call = (method, ...params) => rpc.declare({ object: 'uci', method, params, reject: true });
  const uci = {
    values: {}, todo: [],
    async load() { uci.values = (await call('get', 'config')('pngw')).values; uci.todo = []; },
    sections: (config, type) => Object.values(uci.values).filter((s) => s['.type'] === type),
    get: (config, section, option) => uci.values[section]?.[option],
    set(config, section, option, value) {
      if (uci.get(config, section, option) === value) return;
      uci.values[section][option] = value;
      uci.todo.push(() => call('set', 'config', 'section', 'values')('pngw', section, { [option]: value }));
    },
    unset(config, section, option) {
      if (uci.get(config, section, option) === undefined) return;
      delete uci.values[section][option];
      uci.todo.push(() => call('delete', 'config', 'section', 'options')('pngw', section, [option]));
    },
    add(config, type, name) {
      uci.values[name] = { '.name': name, '.type': type };
      uci.todo.push(() => call('add', 'config', 'type', 'name')('pngw', type, name));
      return name;
    },
    remove(config, name) {
      delete uci.values[name];
      uci.todo.push(() => call('delete', 'config', 'section')('pngw', name));
    },
    async save() {
      for (const f of uci.todo.splice(0)) await f();
    },
  };

  // ui.
  const ui = {
    createHandlerFn: (self, f, ...args) => async (event) => {
      const button = event.currentTarget;
      button.disabled = true;
      try {
        await (typeof f === 'string' ? self[f] : f).call(self, ...args, event);
      } finally {
        button.disabled = false;
      }
    },
    addNotification(title, children, ...classes) {
      const box = E('div', { class: ['alert-message', ...classes].join(' ') }, []);
      dom.append(box, children);
      document.querySelector('#maincontent').prepend(box);
      return box;
    },
    showModal(title, children) {
      ui.hideModal();
      document.body.append(E('div', { class: 'modal', role: 'dialog', 'aria-label': title }, [E('h4', {}, [title]), ...children]));
    },
    hideModal: () => document.querySelectorAll('.modal').forEach((m) => m.remove()),
    changes: {
      async apply() {
        await call('apply', 'rollback')(false);
        location.reload();
      },
    },
  };

  // poll: L.Poll's, without its indicator, and four times as fast.
  const poll = { add: (f, seconds) => setInterval(() => document.hidden || f(), (seconds ?? 5) * 250) };

  // view.
  class View extends Base {
    async handleSave() {
      for (const m of form.maps) await m.save();
    }
    handleSaveApply(event, mode) { return this.handleSave(event).then(() => ui.changes.apply(mode === '0')); }
    handleReset() { location.reload(); }
  }

  async function show(view) {
    const node = await view.render(await view.load());
    const place = document.getElementById('view');
    dom.content(place, [node]);
    const buttons = [['handleSaveApply', 'Save & Apply'], ['handleSave', 'Save'], ['handleReset', 'Reset']].filter(([f]) => view[f]);
    if (buttons.length) {
      dom.append(place, [E('div', { class: 'cbi-page-actions' }, buttons.map(([f, word]) =>
        E('button', { class: `btn ${f}`, disabled: env.readonly ? '' : null, click: ui.createHandlerFn(view, f, '0') }, [word])))]);
    }
  }

  // form.
  class Option {
    constructor(section, name, title, description) { Object.assign(this, { section, name, title, description, needs: [] }); }
    depends(what) { this.needs.push(what); }
    value(v, word) { (this.choices ??= []).push([v, word ?? v]); }
    get(id) { return uci.get('pngw', id, this.name) ?? this.default ?? ''; }
    widget(id) { return E('input', { type: this.password ? 'password' : 'text', placeholder: this.placeholder, value: this.get(id) }, []); }
    read(node) { return node.value; }
    render(id) {
      const input = this.widget(id);
      input.id = `widget.${id}.${this.name}`;
      const node = E('div', { class: 'cbi-value', 'data-name': this.name }, [
        E('label', { class: 'cbi-value-title', for: input.id }, [this.title]),
        E('div', { class: 'cbi-value-field' }, [input, E('div', { class: 'cbi-value-description' }, [this.description ?? ''])])]);
      Object.assign(node, { option: this, input, sid: id });
      return node;
    }
  }
  class Flag extends Option {
    widget(id) { return E('input', { type: 'checkbox', checked: this.get(id) === '1' ? '' : null }, []); }
    read(node) { return node.checked ? '1' : '0'; }
  }
  class ListValue extends Option {
    widget(id) { return E('select', {}, this.choices.map(([v, word]) => E('option', { value: v, selected: v === this.get(id) ? '' : null }, [word]))); }
  }
  class DummyValue extends Option {
    widget(id) { return E('span', {}, [this.textvalue(id)]); }
    read() { return undefined; }
  }

  class Section {
    constructor(map, type, title, description) { Object.assign(this, { map, type, title, description, options: [] }); }
    tab() {}
    taboption(tab, ...rest) { return this.option(...rest); }
    option(C, name, title, description) {
      const o = new C(this, name, title, description);
      this.options.push(o);
      return o;
    }
    ids() { return uci.sections('pngw', this.type).map((s) => s['.name']); }
    fields(id, options) {
      const box = E('div', { 'data-sid': id }, options.map((o) => o.render(id)));
      const refresh = () => {
        const now = {};
        for (const n of box.children) now[n.option.name] = n.option.read(n.input);
        for (const n of box.children) n.hidden = n.option.needs.length > 0 && !n.option.needs.some((d) => Object.entries(d).every(([k, v]) => now[k] === v));
        for (const n of box.children) n.style.display = n.hidden ? 'none' : '';
      };
      box.addEventListener('input', refresh);
      refresh();
      return box;
    }
    render() { return E('div', { class: 'cbi-section' }, [E('h3', {}, [this.title]), ...this.ids().map((id) => this.fields(id, this.options))]); }
  }
  class NamedSection extends Section {
    constructor(map, name, type, title) { super(map, type, title); this.name = name; }
    ids() { return uci.values[this.name] ? [this.name] : []; }
  }
  class GridSection extends Section {
    render() {
      const columns = this.options.filter((o) => !o.modalonly);
      const name = E('input', { 'aria-label': this.addbtntitle }, []);
      const node = E('div', { class: 'cbi-section' }, [
        E('h3', {}, [this.title]),
        E('table', {}, [E('tr', { class: 'table-titles' }, ['', ...columns.map((o) => o.title), ''].map((t) => E(t ? 'th' : 'td', {}, [t]))),
          ...this.ids().map((id) => E('tr', { 'data-sid': id }, [E('td', {}, [id]), ...columns.map((o) => E('td', { 'data-title': o.title }, [o.textvalue ? o.textvalue(id) : o.get(id)])),
            E('td', {}, [E('button', { class: 'cbi-button-edit', 'aria-label': `Edit ${id}`, click: () => this.edit(id) }, ['Edit']),
              E('button', { class: 'cbi-button-remove', 'aria-label': `Delete ${id}`, click: () => { uci.remove('pngw', id); this.map.again(); } }, ['Delete'])])]))]),
        E('div', { class: 'cbi-section-create' }, [name, E('button', { class: 'cbi-button-add', click: () => this.edit(uci.add('pngw', this.type, name.value)) }, [this.addbtntitle])])]);
      return node;
    }
    edit(id) {
      const box = this.fields(id, this.options.filter((o) => o.modalonly !== false));
      ui.showModal(this.modaltitle(id), [box, E('button', { class: 'cbi-button-positive', click: () => {
        parse(box);
        ui.hideModal();
        this.map.again();
      } }, ['Save'])]);
    }
  }

  // parse takes what the fields of a section say into uci, and throws on what is wrong.
  function parse(box) {
    for (const n of box.querySelectorAll('.cbi-value')) {
      const o = n.option, v = n.hidden ? '' : o.read(n.input);
      if (v === undefined) continue;
      const verdict = n.hidden || !o.validate || o.validate(n.sid, v);
      const wrong = verdict !== true ? verdict : !n.hidden && v === '' && o.rmempty === false ? 'Expecting: non-empty value' : '';
      n.classList.toggle('cbi-value-error', !!wrong);
      if (wrong) {
        n.querySelector('.cbi-value-description').textContent = wrong;
        throw new Error(`${o.title}: ${wrong}`);
      }
      if (v === '' || v === o.default && o.rmempty !== false) uci.unset('pngw', n.sid, o.name);
      else uci.set('pngw', n.sid, o.name, v);
    }
  }

  const form = {
    maps: [], NamedSection, TypedSection: Section, GridSection, Value: Option, Flag, ListValue, DummyValue,
    Map: class {
      constructor(config, title, description) {
        Object.assign(this, { title, description, parts: [] });
        form.maps.push(this);
      }
      section(C, ...rest) {
        const s = new C(this, ...rest);
        this.parts.push(s);
        return s;
      }
      async render() {
        this.node = E('div', { class: 'cbi-map' }, []);
        this.again();
        return this.node;
      }
      again() { dom.content(this.node, [E('h2', {}, [this.title]), E('div', {}, [this.description]), ...this.parts.map((s) => s.render())]); }
      async save() {
        parse(this.node);
        await uci.save();
        await uci.load();
        this.again();
      }
    },
  };

  // L.
  const classes = { baseclass: Base, view: View, dom, rpc, uci, ui, poll, form };
  window.L = {
    url: (...parts) => '/' + parts.join('/'),
    resource: (name) => '/luci-static/resources/' + name,
    hasViewPermission: () => !env.readonly,
    require(name) { return classes[name] ??= L.load(name); },
    async load(name) {
      const source = await (await fetch(L.resource(name.replaceAll('.', '/') + '.js'))).text();
      const names = [], values = [];
      for (const [, wanted, as] of source.matchAll(/^'require ([\w.-]+)(?: as (\w+))?';$/gm)) {
        names.push(as ?? wanted.replaceAll('.', '_'));
        values.push(await L.require(wanted));
      }
      const made = new Function('window', 'document', 'L', ...names, source)(window, document, L, ...values);
      return made.prototype instanceof View ? made : new made();
    },
  };

  dom.content(document.querySelector('nav'), env.menu.map(([name, title]) => E('a', { href: '/' + name + location.search.replace(/[?&]device=[^&]*/, ''), 'aria-current': name === env.name ? 'page' : null }, [_(title)])));
  L.load('view/' + env.view).then((C) => show(new C())).catch((e) => {
    dom.content(document.getElementById('view'), [String(e.stack)]);
    throw e;
  });
})();

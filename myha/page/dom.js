// A small virtual DOM: what a part shows is made anew as plain objects, and only what differs is
// changed on the page, so that focus, selections and open details survive an update.
//
// Everything that is shown becomes a text node or an attribute. No HTML is ever parsed, so that
// nothing which a server, a table or an error is called can become an element or a script.

const SVG = "http://www.w3.org/2000/svg";
// Where a browser would follow or run what it is given: only with what is written in these files.
const REFUSED = /^(on|srcdoc$|innerhtml$|action$|formaction$|style$)/i;
// What a person changes, and the page then leaves alone.
const ONCE = new Set(["open", "value", "checked", "selected"]);

/** An element as a value. `props`: attributes, `key`, `style` (an object of properties), `on` (an
 * object of listeners), `ref` (called once with the element). */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: children.flat(Infinity).filter(isShown) };
}

/** A function that makes parts, and gives back the one it made before while what that was made of
 * (compared one by one, as they are) is the same: then nothing of it is looked at again. */
export function remembered() {
  const made = new Map();
  return (name, of, make) => {
    const before = made.get(name);
    if (before && before.of.every((value, index) => Object.is(value, of[index]))) return before.part;
    const part = make();
    made.set(name, { of, part });
    return part;
  };
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

/** Makes the children of `parent` what `nodes` say. */
export function render(parent, ...nodes) {
  patchChildren(parent, nodes.flat(Infinity).filter(isShown));
}

function patchChildren(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    if (child.myhaKey !== undefined) keyed.set(child.myhaKey, child);
  }
  let at = parent.firstChild;
  for (const node of wanted) {
    const key = node.props?.key;
    let found = key === undefined ? at : keyed.get(key);
    if (key === undefined && found?.myhaKey !== undefined) found = null;
    if (found && fits(found, node)) {
      if (found === at) at = at.nextSibling;
      else parent.insertBefore(found, at);
      patch(found, node);
    } else {
      parent.insertBefore(create(node, parent), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function fits(found, node) {
  if (!node.tag) return found.nodeType === Node.TEXT_NODE;
  return found.nodeType === Node.ELEMENT_NODE && found.localName === node.tag
    && found.myhaKey === node.props.key;
}

function create(node, parent) {
  if (!node.tag) return document.createTextNode(String(node));
  const inSvg = node.tag === "svg" || parent.namespaceURI === SVG;
  const made = inSvg ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  made.myhaKey = node.props.key;
  for (const name of ONCE) {
    if (name in node.props) made[name] = node.props[name];
  }
  patch(made, node);
  node.props.ref?.(made);
  return made;
}

function patch(found, node) {
  if (!node.tag) {
    if (found.data !== String(node)) found.data = String(node);
    return;
  }
  if (found.myhaNode === node) return; // see `remembered`
  found.myhaNode = node;
  const before = found.myhaProps ?? {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(node.props)])) {
    setProp(found, name, node.props[name], before[name]);
  }
  found.myhaProps = node.props;
  if (!node.props.ours) patchChildren(found, node.children);
}

function setProp(element, name, value, before) {
  if (name === "key" || name === "ref" || name === "ours" || ONCE.has(name)) return;
  if (name === "on") setListeners(element, value ?? {});
  else if (name === "style") setStyle(element, value ?? {}, before ?? {});
  else if (REFUSED.test(name)) throw new Error(`no attribute ${name} here`);
  else if (value === before) return;
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

function setStyle(element, value, before) {
  for (const name of Object.keys({ ...before, ...value })) {
    if (value[name] !== before[name]) element.style.setProperty(name, value[name] ?? "");
  }
}

function setListeners(element, wanted) {
  element.myhaListeners ??= {};
  for (const kind of Object.keys(wanted)) {
    if (!(kind in element.myhaListeners)) {
      element.addEventListener(kind, (event) => element.myhaListeners[kind]?.(event));
    }
  }
  element.myhaListeners = { ...Object.fromEntries(Object.keys(element.myhaListeners).map((k) => [k, undefined])), ...wanted };
}

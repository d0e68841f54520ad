// Building parts of the page. Whatever comes from visitors goes through here and ends as text: there
// is no way in this file, or in any other, from a string to markup.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An HTML element. `attributes` are set as attributes, but `on` (listeners by event name) and `data`
 * (`dataset`); false, null and undefined leave one out, true gives it an empty value. Children are
 * nodes or what becomes text; null and false are left out.
 */
export function element(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** An SVG element, as `element` makes HTML ones. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

/** Write text only where it differs: an unchanged node costs no layout and no announcement. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute where it differs; null takes it away. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** The element with this id, which the template has. */
export function byId(id) {
  return document.getElementById(id);
}

/** A button that does one thing. */
export function button(label, onClick, attributes = {}) {
  return element('button', { type: 'button', ...attributes, on: { click: onClick } }, label);
}

function furnish(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === 'data') {
      Object.assign(node.dataset, value);
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, value === true ? '' : value);
    }
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

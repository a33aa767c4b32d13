/*
 * Copyright (C) ngx_chat contributors
 */

/* Helpers for nodes of the document and of shadow trees. */


/* Changes a text only if it differs, to keep selections and positions. */
export function setText(node, value) {
  if (node.textContent !== value) {
    node.textContent = value;
  }
}


/* Sets an attribute only if it differs. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) {
    node.setAttribute(name, value);
  }
}


export function setAvatar(node, user) {
  let hue = 0;

  for (const char of user) {
    hue = (hue * 31 + char.codePointAt(0) * 47) % 360;
  }

  setText(node, [...user][0].toUpperCase());
  node.style.setProperty('--hue', hue);
}


/* Makes `nodes` the children, without moving those in the right place. */
export function arrange(parent, nodes) {
  const root = parent.getRootNode();
  const focused = root.activeElement;
  let at = parent.firstChild;

  // nodes that leave come first, so that the others need not be moved
  const kept = new Set(nodes);

  while (at) {
    const next = at.nextSibling;

    if (!kept.has(at)) {
      at.remove();
    }

    at = next;
  }

  at = parent.firstChild;

  for (const node of nodes) {
    if (node === at) {
      at = at.nextSibling;

    } else {
      parent.insertBefore(node, at);
    }
  }

  if (parent.contains(focused) && focused !== root.activeElement) {
    focused.focus({ preventScroll: true });
  }
}


/* Moves the focus between buttons or links with the arrow keys. */
export function moveFocus(event, nodes) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const at = nodes.indexOf(event.target);

  if (step && at >= 0) {
    event.preventDefault();
    (nodes[at + step] ?? nodes[at]).focus();
  }
}

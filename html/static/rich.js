/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Displays a text of a user: links, code between backticks, and a few emoji in
 * large.  The nodes contain the text itself, so that it can be copied.
 */

const PATTERN = new RegExp([
  /(?<block>```[^]+?```)/,
  /(?<code>`[^`\n]+`)/,
  /(?<link>\bhttps?:\/\/[^\s<>"`]+)/,
  /(?<mail>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+)/,
].map(({ source }) => source).join('|'), 'g');

const EMOJI = /^(?:\p{RGI_Emoji}\s*){1,3}$/v;
const LONGEST = 40;           // code units of large emoji, with modifiers


/* Removes punctuation that follows a link, but keeps balanced brackets. */
function trim(link) {
  let end = link.length;

  for ( ;; ) {
    const last = link[end - 1];
    const part = link.slice(0, end);

    if (/[.,:;!?'*_~]/.test(last)
        || (last === ')' && part.split(')').length > part.split('(').length)
        || (last === ']' && part.split(']').length > part.split('[').length))
    {
      end--;

    } else {
      return part;
    }
  }
}


function linkTo(href, text) {
  const node = document.createElement('a');

  node.href = href;
  node.target = '_blank';
  node.rel = 'noopener noreferrer';
  node.textContent = text;

  return node;
}


function codeOf(text, kind) {
  const node = document.createElement('code');

  node.className = kind;
  node.textContent = text;

  return node;
}


/* The nodes of a text. */
function parse(text) {
  const nodes = [];
  let at = 0;

  const add = (end, node) => {
    if (end > at) {
      nodes.push(text.slice(at, end));
    }

    nodes.push(node);
  };

  PATTERN.lastIndex = 0;

  for (let found; (found = PATTERN.exec(text));) {
    const { block, code, link, mail } = found.groups;
    const shown = link ? trim(link) : found[0];
    const end = found.index + shown.length;

    if (link && !URL.canParse(shown)) {
      continue;
    }

    add(found.index, link ? linkTo(shown, shown)
      : mail ? linkTo(`mailto:${mail}`, mail)
      : block ? codeOf(block.slice(3, -3).replace(/^\n|\n$/g, ''), 'block')
      : codeOf(code.slice(1, -1), 'inline'));
    at = end;
    PATTERN.lastIndex = end;
  }

  if (at < text.length) {
    nodes.push(text.slice(at));
  }

  return nodes;
}


const shown = new WeakMap();   // nodes -> texts


/** Displays a text in a node, unless it is there. */
export function setRichText(node, text) {
  if (shown.get(node) === text) {
    return;
  }

  shown.set(node, text);
  node.replaceChildren(...parse(text));
  node.classList.toggle('emoji', text.length <= LONGEST && EMOJI.test(text));
}

/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Hides keys of an input method from the elements below `target`: while a text
 * is composed, Enter must not send it.  Safari ends the composition before the
 * key event, which then has the code 229.
 */
export function guardKeys(target) {
  target.addEventListener('keydown', (event) => {
    if (event.isComposing || event.keyCode === 229) {
      event.stopImmediatePropagation();

      if (event.key === 'Enter' || event.key === 'Escape') {
        event.preventDefault();
      }
    }
  }, true);
}

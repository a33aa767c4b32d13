/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Keys that an input method handles.  Chromium's own events are created with
 * its protocol.  Those of Safari, in which the composition ends before the key
 * that ends it, are dispatched.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, login, message, open, talk, texts, visit,
         words, write } from './helpers.mjs';


/* A key event of an input method: code 229 without a character. */
const SAFARI = { isComposing: false, keyCode: 229 };
const OTHERS = { isComposing: true, keyCode: 229 };
const EARLY = { isComposing: true, keyCode: 13 };

const orders = { 'as in Safari': SAFARI, 'as elsewhere': OTHERS,
                 'with its own code': EARLY };


/* Dispatches a key and returns whether the browser handles it. */
function press(page, selector, key, { isComposing, keyCode }) {
  return page.locator(selector).evaluate((node, [key, isComposing, keyCode]) => {
    const event = new KeyboardEvent('keydown', {
      key, isComposing, keyCode, bubbles: true, cancelable: true,
      composed: true,
    });

    if (!isComposing) {
      node.dispatchEvent(new CompositionEvent('compositionend',
                                              { bubbles: true }));
    }

    return node.dispatchEvent(event);
  }, [key, isComposing, keyCode]);
}


async function sentOnce(page, text) {
  await page.waitForTimeout(300);
  assert.equal(await page.locator('.message', { hasText: text }).count(), 0,
               'the key of the input method sends nothing');
  await page.press('#text', 'Enter');
  await message(page, text, 'sent');
}


for (const [order, how] of Object.entries(orders)) {
  test(`Enter while composing does not send, ${order}`, async () => {
    const page = await talk(alice, bob);
    const text = words('にほん');

    await page.fill('#text', text);
    await press(page, '#text', 'Enter', how);
    assert.equal(await page.inputValue('#text'), text);
    await sentOnce(page, text);
  });

  test(`keys while composing do not act on the search, ${order}`, async () => {
    const page = await open(alice);

    await page.fill('#search', carol.name);
    await eventually(async () => await page.locator('.person').count() === 1,
                     'found');

    for (const key of ['Enter', 'ArrowDown', 'ArrowUp', 'Escape']) {
      const left = await press(page, '#search', key, how);

      assert.equal(left, /Arrow/.test(key), `${key} is left to the browser`);
    }

    await page.waitForTimeout(500);
    assert.ok(!await page.isVisible('#conversation'), 'no conversation opens');
    assert.equal(await page.inputValue('#search'), carol.name);
    assert.ok(await page.locator('#search')
      .evaluate((node) => node === window.focused()), 'still there');

    await page.press('#search', 'Enter');
    await page.waitForSelector('#conversation');
    assert.equal(await page.textContent('#with'), carol.name);
  });

  test(`Enter while composing does not submit a form, ${order}`, async () => {
    const page = await visit('/login/');

    await page.fill('#username', alice.name);

    for (const selector of ['#username', '#password']) {
      assert.equal(await press(page, selector, 'Enter', how), false, selector);
    }

    const inside = await open(alice);

    await inside.click('#me');
    await inside.click('#change-password');

    for (const selector of ['#old-password', '#new-password']) {
      for (const key of ['Enter', 'Escape']) {
        assert.equal(await press(inside, selector, key, how), false,
                     `${selector} ${key}`);
      }
    }

    assert.ok(await inside.isVisible('#password-form'));
  });
}


/* Composes a text in the browser; each key has code 229. */
async function compose(page, text) {
  const session = await page.context().newCDPSession(page);
  const key = (type, key) => session.send('Input.dispatchKeyEvent', {
    type, key, code: key, windowsVirtualKeyCode: 229,
  });

  await session.send('Input.imeSetComposition', {
    text, selectionStart: text.length, selectionEnd: text.length,
  });

  return {
    key: async (name) => {
      await key('rawKeyDown', name);
      await key('keyUp', name);
    },
    commit: () => session.send('Input.insertText', { text }),
  };
}


test('the page ignores keys of a composition in the browser', async () => {
  const page = await talk(alice, bob);
  const text = words('にほん');

  await page.focus('#text');

  const method = await compose(page, text);

  for (const key of ['ArrowDown', 'Escape', 'Enter']) {
    await method.key(key);
  }

  // the order of Safari
  await method.commit();
  await method.key('Enter');
  assert.equal(await page.inputValue('#text'), text);
  await sentOnce(page, text);
});


test('keys of a composition in the browser do not open a conversation',
     async () => {
  const page = await open(alice);

  await page.focus('#search');

  const method = await compose(page, carol.name);

  await eventually(async () => await page.locator('.person').count() === 1,
                   'the composed text is searched for');

  for (const key of ['ArrowDown', 'Enter']) {
    await method.key(key);
  }

  await method.commit();
  await method.key('Enter');
  await page.waitForTimeout(500);
  assert.ok(!await page.isVisible('#conversation'));
  await page.press('#search', 'Enter');
  await page.waitForSelector('#conversation');
  assert.equal(await page.textContent('#with'), carol.name);
});


test('keys of a composition in the browser do not log in', async () => {
  const page = await visit('/login/');
  const asked = [];

  page.on('request', (request) => asked.push(request.method()));
  await page.fill('#password', 'wrong');
  await page.focus('#username');

  const method = await compose(page, alice.name);

  await method.key('Enter');
  await method.commit();
  await method.key('Enter');
  await page.waitForTimeout(500);
  assert.ok(!asked.includes('POST'));
  await login(page, alice);
  await page.waitForSelector('#me');
});


test('Enter submits a form without a composition', async () => {
  const page = await visit('/login/');

  await page.fill('#username', alice.name);
  await page.fill('#password', alice.password);
  await page.press('#password', 'Enter');
  await page.waitForSelector('#me');

  await page.click('#me');
  await page.click('#change-password');
  await page.keyboard.press('Escape');
  await page.waitForSelector('#password-form', { state: 'hidden' });
});


test('shortcuts lead to the search and to other conversations', async () => {
  const page = await talk(alice, bob);
  const opened = (name) => eventually(
    async () => await page.textContent('#with') === name, `${name} is open`);

  for (const person of [carol, bob]) {
    await page.locator('.person', { hasText: person.name }).click();
    await opened(person.name);
    await write(page, words());
    await message(page, (await texts(page)).at(-1), 'sent');
  }

  // the latest conversation is first
  await page.keyboard.press('Alt+ArrowDown');
  await opened(carol.name);
  await page.keyboard.press('Alt+ArrowUp');
  await opened(bob.name);
  await page.keyboard.press('Alt+ArrowUp');
  await opened(bob.name);

  await page.keyboard.press('Control+k');
  assert.equal(await page.evaluate(() => window.focused().id), 'search');
  await page.keyboard.type(carol.name);
  await page.keyboard.press('Enter');
  await opened(carol.name);
  await page.focus('#search');
  await page.keyboard.press('Escape');
  assert.equal(await page.inputValue('#search'), '');
});

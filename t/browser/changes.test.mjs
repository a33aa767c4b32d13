/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The page: editing, deleting and replying through the menu of a message, read
 * marks and typing.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, message, open, request, talk, texts,
         words, write } from './helpers.mjs';

const LIMIT = 60e3;


/** Opens the same conversation as both of its users. */
function both() {
  return Promise.all([talk(alice, bob), talk(bob, alice)]);
}


/** Sends a text and returns its message once it is stored. */
async function sent(page, text) {
  await write(page, text);

  return message(page, text, 'sent');
}


/** Opens the menu of a message and presses a button in it. */
async function choose(page, found, name) {
  await found.hover();
  await found.locator('.more').click();
  await page.locator('#message-menu').getByRole('button', { name }).click();
}


function gone(page, text) {
  return eventually(async () => !(await texts(page)).includes(text),
                    `"${text}" is gone`, LIMIT);
}


function person(page, { name }) {
  return page.locator('.person', {
    has: page.getByText(name, { exact: true }),
  });
}


function focused(page) {
  return page.evaluate(() => {
    const node = window.focused();

    return node.id || node.className;
  });
}


test('a message is edited through its menu', async () => {
  const [page, there] = await both();
  const [before, after, draft] = [words('before'), words('after'),
                                  words('draft')];
  const found = await sent(page, before);

  await message(there, before);
  await page.fill('#text', draft);
  await choose(page, found, 'Edit');
  assert.equal(await page.inputValue('#text'), before);
  assert.equal(await focused(page), 'text');
  assert.equal(await page.textContent('#about-title'), 'Edit message');

  await write(page, after);

  for (const window of [page, there]) {
    const edited = await message(window, after);

    assert.ok(await edited.getByText('edited', { exact: true }).isVisible());
    assert.equal(await window.getByText(before, { exact: true }).count(), 0);
  }

  await person(there, alice).locator('.preview').getByText(after)
    .waitFor({ timeout: LIMIT });
  await eventually(async () => await page.inputValue('#text') === draft,
                   'the draft is restored');
  assert.ok(!await page.isVisible('#about'));

  // still so after a reload
  await there.reload();
  await (await message(there, after)).getByText('edited', { exact: true })
    .waitFor();
});


test('an edit can be cancelled, and follows its conversation', async () => {
  const page = await talk(alice, bob);
  const [text, draft, changed] = [words(), words('draft'), words('changed')];
  const found = await sent(page, text);

  await page.fill('#text', draft);
  await choose(page, found, 'Edit');
  await page.fill('#text', changed);

  await person(page, carol).click();
  await eventually(async () => await page.textContent('#with') === carol.name,
                   'the other conversation');
  assert.ok(!await page.isVisible('#about'));
  assert.equal(await page.inputValue('#text'), '');

  await person(page, bob).click();
  await page.waitForSelector('#about');
  assert.equal(await page.inputValue('#text'), changed);

  await page.press('#text', 'Escape');
  assert.equal(await page.inputValue('#text'), draft);
  assert.ok(!await page.isVisible('#about'));

  await choose(page, found, 'Edit');
  await page.click('#about-cancel');
  assert.equal(await page.inputValue('#text'), draft);
  await message(page, text);
});


test('a refused edit is reported and can be repeated', async () => {
  const page = await talk(alice, bob);
  const [before, after] = [words('before'), words('after')];
  const found = await sent(page, before);

  await page.route('**/api/v1/message/*/', (route) => route.fulfill({
    status: 403,
    json: { detail: 'This message can no longer be changed.' },
  }));
  await choose(page, found, 'Edit');
  await write(page, after);
  await page.getByText('This message can no longer be changed.').waitFor();
  assert.equal(await page.inputValue('#text'), after);
  await page.unroute('**/api/v1/message/*/');

  await page.press('#text', 'Enter');
  await message(page, after);
  assert.ok(await page.isVisible('#me'), 'the session continues');
});


test('a deleted message disappears everywhere', async () => {
  const [page, there] = await Promise.all([
    talk(alice, bob), open(bob, `/#/${carol.name}`),
  ]);
  const [kept, deleted] = [words('kept'), words('deleted')];
  const preview = person(there, alice).locator('.preview');
  const badge = person(there, alice).locator('.badge > :first-child');

  await sent(page, kept);
  await preview.getByText(kept).waitFor();

  const count = Number(await badge.textContent());
  const found = await sent(page, deleted);

  await preview.getByText(deleted).waitFor();
  assert.equal(Number(await badge.textContent()), count + 1);

  // first with second thoughts
  await choose(page, found, 'Delete');
  await page.getByText('Delete this message?').waitFor();
  assert.equal(await focused(page), 'confirm-cancel');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#confirm', { state: 'hidden' });
  await message(page, deleted);

  await choose(page, found, 'Delete');
  await page.click('#confirm-action');
  await gone(page, deleted);
  await page.waitForSelector('#confirm', { state: 'hidden' });

  await preview.getByText(kept).waitFor();
  await eventually(async () => Number(await badge.textContent()) === count,
                   'it is not counted', LIMIT);
  await person(page, bob).locator('.preview').getByText(kept).waitFor();

  await person(there, alice).click();
  await message(there, kept);
  assert.ok(!(await texts(there)).includes(deleted));
});


test('a failed deletion is reported in the dialog', async () => {
  const page = await talk(alice, bob);
  const text = words();
  const found = await sent(page, text);

  await page.route('**/api/v1/message/*/', (route) => route.abort());
  await choose(page, found, 'Delete');
  await page.click('#confirm-action');
  await page.locator('#confirm-error', { hasText: 'cannot be reached' })
    .waitFor();
  await page.unroute('**/api/v1/message/*/');
  await page.click('#confirm-action');
  await gone(page, text);
});


test('only own messages can be changed, all can be replied to', async () => {
  const [page, there] = await both();
  const [question, answer] = [words('Question'), words('Answer')];
  const buttons = () => there.locator('#message-menu button:visible')
    .allTextContents();

  await sent(page, question);

  const found = await message(there, question);

  await found.hover();
  await found.locator('.more').click();
  assert.deepEqual(await buttons(), ['Reply']);
  await there.keyboard.press('Enter');
  assert.equal(await there.textContent('#about-title'),
               `Reply to ${alice.name}`);
  assert.equal(await there.textContent('#about-text'), question);
  await there.keyboard.type(answer);
  await there.keyboard.press('Enter');
  assert.ok(!await there.isVisible('#about'));

  for (const [window, name] of [[page, 'You'], [there, alice.name]]) {
    const reply = window.locator('.message', {
      has: window.locator('.text', { hasText: answer }),
    });

    await reply.locator('.quote').waitFor();
    assert.equal(await reply.locator('.quote-by').textContent(), name);
    assert.equal(await reply.locator('.quote-text').textContent(), question);
  }

  // the own reply
  const own = there.locator('.message', {
    has: there.locator('.text', { hasText: answer }),
  });

  await own.and(there.locator('.sent')).hover();
  await own.locator('.more').click();
  assert.deepEqual(await buttons(), ['Reply', 'Edit', 'Delete']);
  await there.keyboard.press('Escape');

  // the quote follows the original
  await choose(page, page.locator('.message', {
    has: page.locator('.text', { hasText: question }),
  }), 'Delete');
  await page.click('#confirm-action');
  await own.getByText('This message has been deleted.').waitFor();
});


test('a quote leads to the original, also if it is not loaded', async () => {
  const page = await talk(carol, alice, { viewport: { width: 800,
                                                      height: 500 } });
  const [question, answer] = [words('Question'), words('Answer')];
  const found = await sent(page, question);

  await Promise.all(Array.from({ length: 40 }, (_, i) =>
    request(page, 'POST', '/api/v1/message/',
            { recipient: alice.name, body: words(`line ${i}`) })));

  await choose(page, found, 'Reply');
  await page.keyboard.type(answer);
  await page.keyboard.press('Enter');
  await page.locator('.sent', { hasText: answer }).waitFor();
  await page.reload();
  await page.locator('.quote', { hasText: question }).click();

  const original = page.locator('.message.found', {
    has: page.locator('.text', { hasText: question }),
  });

  await original.waitFor();
  assert.ok(await original.evaluate((node) => {
    const { top, bottom } = node.getBoundingClientRect();
    const view = window.part('#log').getBoundingClientRect();

    return top >= view.top && bottom <= view.bottom
           && node === window.focused();
  }), 'it is visible and has the focus');
});


test('messages are changed with the keyboard only', async () => {
  const page = await talk(alice, bob);
  const [first, second] = [words('first'), words('second')];

  await sent(page, first);
  await sent(page, second);

  // the last key before the field is the menu of the latest message
  await page.focus('#text');
  await page.keyboard.press('Shift+Tab');
  assert.match(await focused(page), /more/);
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await eventually(async () => await focused(page) === 'reply', 'the menu');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  assert.equal(await focused(page), 'delete');
  await page.keyboard.press('Escape');
  assert.match(await focused(page), /more/, 'the focus returns');

  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  assert.equal(await page.inputValue('#text'), first);
  await page.keyboard.press('Escape');
  assert.equal(await page.inputValue('#text'), '');

  // Up in the empty field edits the latest message
  await page.keyboard.press('ArrowUp');
  assert.equal(await page.inputValue('#text'), second);
  await page.keyboard.type('!');
  await page.keyboard.press('Enter');
  await message(page, `${second}!`);
});


test('a menu stays within the window', async () => {
  for (const viewport of [{ width: 320, height: 568 },
                          { width: 1280, height: 800 }])
  {
    const page = await talk(alice, bob, { viewport });
    const found = await sent(page, words('W'.repeat(400)));

    for (const at of [found, page.locator('.message').first()]) {
      await at.scrollIntoViewIfNeeded();
      await at.locator('.more').focus();
      await page.keyboard.press('Enter');
      await page.waitForSelector('#message-menu');
      assert.ok(await page.locator('#message-menu').evaluate((node) => {
        const { left, top, right, bottom } = node.getBoundingClientRect();

        return left >= 0 && top >= 0 && right <= innerWidth
               && bottom <= innerHeight;
      }), JSON.stringify(viewport));
      await page.keyboard.press('Escape');
    }

    await page.context().close();
  }
});


test('a message is marked when it has been read', async () => {
  const [page, there] = await Promise.all([
    talk(alice, bob), open(bob, `/#/${carol.name}`),
  ]);
  const text = words();
  const found = await sent(page, text);
  const mark = found.locator('.meta svg');

  await person(there, alice).locator('.preview').getByText(text).waitFor();
  assert.equal(await mark.getAttribute('aria-label'), 'Sent');

  await person(there, alice).click();
  await message(there, text);

  // it opens at the first of the unread messages
  await eventually(async () => {
    await there.evaluate(() => {
      const log = window.part('#log');

      log.scrollTop = log.scrollHeight;
    });

    return await mark.getAttribute('aria-label') === 'Read';
  }, 'read', LIMIT);

  await page.reload();
  await message(page, text);
  assert.equal(await mark.getAttribute('aria-label'), 'Read');
});


test('typing is shown in the conversation and the list', async () => {
  const [page, there] = await both();
  const [first, text] = [words('first'), words()];

  await sent(page, first);
  await message(there, first);

  const preview = person(there, alice).locator('.preview');

  // the server ignores repetitions within a second
  const type = () => eventually(async () => {
    await page.locator('#text').pressSequentially('x');
    await page.waitForTimeout(500);

    return await there.textContent('#with-status')
           === `${alice.name} is typing…`;
  }, 'typing is shown', LIMIT);

  await type();
  assert.equal(await preview.textContent(), 'typing…');

  // it ends without an event
  await there.getByText('is typing…').waitFor({ state: 'detached',
                                                timeout: LIMIT });
  assert.equal(await preview.textContent(), first);

  // and with the message
  await type();
  await write(page, text);
  await message(there, text);
  await eventually(async () => !(await there.textContent('#with-status'))
    .includes('typing'), 'it has ended', LIMIT);
});

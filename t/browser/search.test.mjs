/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The search opens the intended user: by the text in the search field, by the
 * entry under the pointer, by the conversation on the screen.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { alice, bob, carol, eventually, message, open, request, sql, talk,
         texts, words, write } from './helpers.mjs';

const skip = !process.env.CHAT_DEV && 'no CHAT_DEV';
const USERS = '**/api/v1/user/?*';

/* Names that are prefixes, suffixes or neighbours of each other. */
const names = ['zoe', 'zoeb', 'zoea', 'azoe', 'yan', 'yana'];
const list = names.map((name) => `'${name}'`);
const ours = `(SELECT id FROM chat_user WHERE username IN (${list}))`;


before(async () => {
  if (skip) {
    return;
  }

  sql(`INSERT INTO chat_user (username) VALUES ${list.map((n) => `(${n})`)}`);

  // the first entry, and one that a search finds within its name
  const page = await open(alice);

  for (const recipient of [bob.name, 'azoe', carol.name]) {
    await request(page, 'POST', '/api/v1/message/', { recipient, body: 'Hello' });
  }

  await page.context().close();
});


after(() => {
  if (!skip) {
    sql(`DELETE FROM chat_conversation WHERE lo_id IN ${ours} OR hi_id IN ${ours};
         DELETE FROM chat_message WHERE recipient_id IN ${ours};
         DELETE FROM chat_user WHERE username IN (${list})`);
  }
});


/* Holds responses of the user search; the returned function releases one. */
async function held(page) {
  const answers = [];

  await page.route(USERS, async (route) => {
    const query = new URL(route.request().url()).searchParams.get('search');

    await new Promise((resolve) => { answers.push({ query, resolve }); });
    await route.continue().catch(() => {});
  });

  return async (query) => {
    await eventually(() => answers.some((one) => one.query === query),
                     `"${query}" is asked for`);
    answers.filter((one) => one.query === query).forEach((one) => one.resolve());
  };
}


function shown(page) {
  return page.locator('.person .name').allTextContents();
}


/* Checks the user that the page shows and sends to. */
async function opened(page, name) {
  await eventually(async () => await page.isVisible('#conversation')
                               && await page.textContent('#with') === name,
                   `${name} is opened`);
  assert.equal(new URL(page.url()).hash, `#/${name}`);
}


async function nobodyOpened(page, why) {
  await page.waitForTimeout(400);
  assert.ok(!await page.isVisible('#conversation'), why);
  assert.equal(new URL(page.url()).hash, '', why);
}


for (const name of ['zoe', 'ZOE', ' zoe ', 'azoe', 'yan', 'zoea']) {
  test(`"${name}" and Enter typed at once opens that user`, { skip },
       async () => {
    const page = await open(alice);

    await page.focus('#search');
    await page.keyboard.type(name);
    await page.keyboard.press('Enter');
    await opened(page, name.trim().toLowerCase());
  });
}


test('a message typed right after that is sent to that user', { skip },
     async () => {
  const page = await open(alice);
  const text = words();

  await page.focus('#search');
  await page.keyboard.type('yana');
  await page.keyboard.press('Enter');
  await opened(page, 'yana');
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
  await message(page, text, 'sent');
  assert.equal(sql(`SELECT username FROM chat_message m JOIN chat_user u
                    ON u.id = m.recipient_id WHERE body = '${text}'`).trim(),
               'yana');
});


test('Enter waits for the response and opens a result', { skip }, async () => {
  const page = await open(alice);
  const answer = await held(page);

  await page.fill('#search', 'zoe');
  await page.press('#search', 'Enter');
  await nobodyOpened(page, 'before the answer');
  await answer('zoe');
  await opened(page, 'zoe');
});


test('repeated Enter opens one conversation once', { skip }, async () => {
  const page = await open(alice);
  const answer = await held(page);

  await page.fill('#search', 'zoeb');
  await page.press('#search', 'Enter');
  await page.press('#search', 'Enter');
  await page.press('#search', 'Enter');
  await answer('zoeb');
  await opened(page, 'zoeb');
  await page.fill('#text', 'draft');
  await page.waitForTimeout(300);
  assert.equal(await page.inputValue('#text'), 'draft');
});


test('Enter does not apply to the next text', { skip }, async () => {
  const page = await open(alice);
  const answer = await held(page);

  await page.fill('#search', 'zoe');
  await page.press('#search', 'Enter');
  await page.waitForTimeout(250);
  await page.fill('#search', 'yan');
  await answer('zoe');
  await answer('yan');
  await nobodyOpened(page, 'the text is another');
  await page.press('#search', 'Enter');
  await opened(page, 'yan');
});


for (const [what, act] of Object.entries({
  'the field is left': (page) => page.locator('#me').focus(),
  'the text is cleared': (page) => page.fill('#search', ''),
  'Escape is pressed': (page) => page.press('#search', 'Escape'),
  'the list is entered': (page) => page.press('#search', 'ArrowDown'),
})) {
  test(`a pending Enter is dropped when ${what}`, { skip }, async () => {
    const page = await open(alice);
    const answer = await held(page);

    await page.fill('#search', 'zoe');
    await page.press('#search', 'Enter');
    await page.waitForTimeout(250);
    await act(page);
    await answer('zoe');
    await nobodyOpened(page, what);
  });
}


test('a pending Enter is dropped when another conversation opens', { skip },
     async () => {
  const page = await open(alice);
  const answer = await held(page);
  const text = words();

  await page.fill('#search', 'zoe');
  await page.press('#search', 'Enter');
  await page.waitForTimeout(250);
  await page.locator('.person', { hasText: 'azoe' }).click();
  await opened(page, 'azoe');
  await page.keyboard.type(text.slice(0, 5));
  await answer('zoe');
  await page.waitForTimeout(300);
  await page.keyboard.type(text.slice(5));
  await opened(page, 'azoe');
  assert.equal(await page.inputValue('#text'), text);
});


test('Enter opens nothing without results', { skip }, async () => {
  const page = await open(alice);

  for (const query of ['', '   ', 'nobody-at-all']) {
    await page.fill('#search', query);
    await page.press('#search', 'Enter');
    await nobodyOpened(page, `"${query}"`);
  }

  // nor after a failed search
  await page.route(USERS, (route) => route.abort());
  await page.fill('#search', 'carol-no');
  await page.press('#search', 'Enter');
  await page.getByText('cannot be reached').waitFor();
  await page.press('#search', 'Enter');
  await nobodyOpened(page, 'an error');
});


test('responses that arrive out of order are matched to their text', { skip },
     async () => {
  const page = await open(alice);
  const answer = await held(page);

  for (const query of ['z', 'ya', 'zoe', 'yan']) {
    await page.fill('#search', query);
    await page.waitForTimeout(250);
  }

  await answer('yan');
  await eventually(async () => (await shown(page)).sort().join() === 'yan,yana',
                   'results of the last text');

  for (const query of ['zoe', 'z', 'ya']) {
    await answer(query);
    await page.waitForTimeout(200);
    assert.deepEqual((await shown(page)).sort(), ['yan', 'yana'],
                     `after "${query}"`);
  }

  await page.press('#search', 'Enter');
  await opened(page, 'yan');
});


test('the list never shows results of an earlier text', { skip }, async () => {
  const page = await open(alice);
  const answer = await held(page);

  await page.fill('#search', 'yan');
  await answer('yan');
  await eventually(async () => (await shown(page)).includes('yan'), 'found');
  await page.fill('#search', 'zoeb');
  assert.deepEqual(await shown(page), []);
  await page.press('#search', 'ArrowDown');
  await page.keyboard.press('Enter');
  await nobodyOpened(page, 'there is none to go to');
});


/* Makes bob the first in the list; a message from carol moves him down. */
async function bobFirst() {
  const page = await open(alice);

  await request(page, 'POST', '/api/v1/message/',
                { recipient: bob.name, body: 'Hello' });
  await eventually(async () => (await shown(page))[0] === bob.name, 'bob');

  return { page, box: await page.locator('.person').first().boundingBox() };
}


test('a pressed entry opens even if the list changes', async () => {
  const { page, box } = await bobFirst();
  const sender = await talk(carol, alice);
  const text = words();

  await page.mouse.move(box.x + 40, box.y + 20);
  await page.mouse.down();
  await write(sender, text);
  await page.locator('.preview', { hasText: text }).waitFor();
  await page.waitForTimeout(500);
  assert.equal((await shown(page))[0], bob.name, 'the entry has not moved');
  await page.mouse.up();
  await opened(page, bob.name);
  await eventually(async () => (await shown(page))[0] === carol.name,
                   'the list is sorted afterwards');
});


/*
 * Moves the pointer to a position until a preview has the text, and presses it.
 * Returns the first entry then, and the longest time without a move, ms.
 */
async function approach(page, { x, y }, text) {
  let moving = true;

  await page.evaluate(() => {
    let last = performance.now();

    window.pause = 0;

    const seen = ({ timeStamp }) => {
      window.pause = Math.max(window.pause, timeStamp - last);
      last = timeStamp;
    };

    addEventListener('pointermove', seen);
    addEventListener('pointerdown', seen);
  });

  const move = (async () => {
    for (let i = 0; moving; i++) {
      await page.mouse.move(x + 40 + i % 7, y + 20);
      await page.waitForTimeout(50);
    }
  })();

  await page.locator('.preview', { hasText: text }).waitFor();

  const [first] = await shown(page);

  moving = false;
  await move;
  await page.mouse.down();

  return [first, await page.evaluate(() => window.pause)];
}


test('an entry does not move while the pointer approaches it', async () => {
  const sender = await talk(carol, alice);

  // on a busy machine the pointer may stand still for longer than the page waits
  for (let left = 5; left; left--) {
    const { page, box } = await bobFirst();
    const text = words();

    setTimeout(() => write(sender, text), 100);

    const [first, pause] = await approach(page, box, text);

    if (pause > 250) {
      continue;
    }

    assert.equal(first, bob.name, 'the entry has not moved');
    await page.mouse.up();
    await opened(page, bob.name);
    await eventually(async () => (await shown(page))[0] === carol.name,
                     'the list is sorted afterwards');

    return;
  }

  assert.fail('the pointer never moved for long enough');
});


test('a touched entry opens even if the list changes', async () => {
  const phone = await open(alice, '/', {
    viewport: { width: 390, height: 844 },
    isMobile: true,
    hasTouch: true,
  });
  const sender = await talk(carol, alice);
  const text = words();
  const session = await phone.context().newCDPSession(phone);

  await request(phone, 'POST', '/api/v1/message/',
                { recipient: bob.name, body: 'Hello' });
  await eventually(async () => (await shown(phone))[0] === bob.name, 'bob');

  const box = await phone.locator('.person').first().boundingBox();
  const touchPoints = [{ x: box.x + 40, y: box.y + 20 }];

  await session.send('Input.dispatchTouchEvent', { type: 'touchStart',
                                                   touchPoints });
  await request(sender, 'POST', '/api/v1/message/',
                { recipient: alice.name, body: text });
  await phone.locator('.preview', { hasText: text }).waitFor();
  assert.equal((await shown(phone))[0], bob.name, 'the entry has not moved');
  await session.send('Input.dispatchTouchEvent', { type: 'touchEnd',
                                                   touchPoints: [] });
  await opened(phone, bob.name);
});


test('typed text belongs to the visible conversation', { skip },
     async () => {
  const page = await open(alice);
  const text = words('for carol');
  const release = [];

  await page.route('**/api/v1/message/?*before=*', async (route) => {
    await new Promise((resolve) => { release.push(resolve); });
    await route.continue().catch(() => {});
  });

  // bob's conversation is still loading when carol's opens
  await page.locator('.person', { hasText: bob.name }).click();
  await opened(page, bob.name);
  await page.keyboard.type('draft for bob');
  await page.locator('.person', { hasText: carol.name }).click();
  await opened(page, carol.name);
  await page.keyboard.type(text.slice(0, 8));
  await eventually(() => release.length === 2, 'both are loading');
  release[0]();
  await page.waitForTimeout(300);
  await page.keyboard.type(text.slice(8));
  assert.equal(await page.textContent('#with'), carol.name);
  await page.keyboard.press('Enter');
  release[1]();
  await message(page, text, 'sent');
  assert.equal(sql(`SELECT username FROM chat_message m JOIN chat_user u
                    ON u.id = m.recipient_id WHERE body = '${text}'`).trim(),
               carol.name);
  await page.locator('.person', { hasText: bob.name }).click();
  await opened(page, bob.name);
  assert.equal(await page.inputValue('#text'), 'draft for bob');
  assert.ok(!(await texts(page)).includes(text));
});


test('navigation and fast clicks keep drafts in their conversations',
     { skip }, async () => {
  const page = await open(alice);
  const both = [bob, carol];

  for (let i = 0; i < 6; i++) {
    const { name } = both[i % 2];

    await page.locator('.person', { hasText: name }).click();
    await opened(page, name);
    await page.keyboard.type(`${name} `);
  }

  assert.equal(await page.inputValue('#text'), `${carol.name} `.repeat(3));
  await page.goBack();
  await opened(page, bob.name);
  assert.equal(await page.inputValue('#text'), `${bob.name} `.repeat(3));
  await page.goForward();
  await opened(page, carol.name);
  assert.equal(await page.inputValue('#text'), `${carol.name} `.repeat(3));
});

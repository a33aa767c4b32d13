/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * In every state, window size and text size, the document does not scroll and
 * nothing overflows at the sides.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { alice, bob, carol, eventually, login, message, open, request, sql, talk,
         talkTo, visit, words, write } from './helpers.mjs';

const skip = !process.env.CHAT_DEV && 'no CHAT_DEV';
const LONG = 'W'.repeat(150);
const names = Array.from({ length: 60 }, (_, i) => `many_${i}`).concat(LONG);
const ours = `(SELECT id FROM chat_user
               WHERE username LIKE 'many\\_%' OR username = '${LONG}')`;


/* Creates many users, many of them with unread messages, in a long inbox. */
before(async () => {
  if (skip) {
    return;
  }

  sql(`INSERT INTO chat_user (username)
       VALUES ${names.map((name) => `('${name}')`)}`);

  const page = await open(alice);

  for (const name of names.slice(20)) {
    await request(page, 'POST', '/api/v1/message/', {
      recipient: name,
      body: `${'word '.repeat(20)} ${LONG}`,
    });
  }

  await page.context().close();

  sql(`UPDATE chat_conversation SET lo_unread = 120, hi_unread = 120
       WHERE lo_id IN ${ours} OR hi_id IN ${ours}`);
});


after(() => {
  if (!skip) {
    sql(`DELETE FROM chat_conversation WHERE lo_id IN ${ours} OR hi_id IN ${ours};
         DELETE FROM chat_message WHERE recipient_id IN ${ours};
         DELETE FROM chat_user WHERE username LIKE 'many\\_%'
                                     OR username = '${LONG}'`);
  }
});


/* Runs in the page: returns faults in its layout. */
function look() {
  const faults = [];
  const root = document.documentElement;
  const name = (node) => `${node.localName}#${node.id}.${node.className}`;
  const visible = (node) => node.checkVisibility({ visibilityProperty: true });

  const check = (right, what) => {
    if (!right) {
      faults.push(what);
    }
  };

  check(root.scrollHeight === innerHeight,
        `the document is ${root.scrollHeight} high, not ${innerHeight}`);
  check(root.scrollWidth === innerWidth,
        `the document is ${root.scrollWidth} wide, not ${innerWidth}`);
  check(root.clientWidth === innerWidth, 'a scroll bar of the document');

  scrollTo(500, 500);
  check(scrollX === 0 && scrollY === 0, 'the document scrolls');

  for (const node of window.parts('body, body *, .shell, .shell *')) {
    if (!visible(node)) {
      continue;
    }

    const style = getComputedStyle(node);
    const { left, right, width } = node.getBoundingClientRect();

    // elements that do not clip by intent show all of their content
    if (/auto|scroll/.test(style.overflowX + style.overflowY)
        && node.localName !== 'textarea')
    {
      node.scrollLeft = 500;
      check(node.scrollLeft === 0 && node.scrollWidth <= node.clientWidth,
            `${name(node)} is ${node.scrollWidth} wide in ${node.clientWidth}`);
    }

    check(width <= 1 || (left >= -0.5 && right <= innerWidth + 0.5),
          `${name(node)} overflows: ${left} to ${right}`);
  }

  // the two panes scroll separately
  check(!window.part('#app')?.checkVisibility()
        || document.body.scrollHeight <= document.body.clientHeight,
        `the body is ${document.body.scrollHeight} high`);

  return faults;
}


/* Width, height and text size, as in a browser that zooms text only. */
const SIZES = [
  [1280, 800, '100%'], [900, 420, '100%'], [721, 600, '100%'],
  [720, 600, '100%'], [390, 844, '100%'], [320, 568, '100%'],
  [568, 320, '100%'],
  [640, 400, '100%'], [320, 256, '100%'],     // zoomed to 200% and 400%
  [1280, 800, '200%'], [320, 568, '200%'], [568, 320, '200%'],
];


/* Checks a state in every size, after scrolling all of it into view. */
async function fits(page, state) {
  const { width, height } = page.viewportSize();

  for (const [width, height, text] of SIZES) {
    const where = `${state}, ${width} x ${height}, text ${text}`;

    await page.setViewportSize({ width, height });
    await page.evaluate(async (text) => {
      document.documentElement.style.fontSize = text;

      await new Promise(requestAnimationFrame);
    }, text);
    assert.deepEqual(await page.evaluate(look), [], where);

    assert.equal(await page.evaluate(() => {
      const { documentElement: root, body } = document;

      for (const node of window.parts('.hidden, li, button, p')) {
        node.scrollIntoView();
      }

      // the body of the login page scrolls
      return root.scrollTop + root.scrollLeft + body.scrollLeft
             + (window.part('#app') ? body.scrollTop : 0);
    }), 0, `${where}, scrolled`);
  }

  await page.setViewportSize({ width, height });
  await page.evaluate(() => { document.documentElement.style.fontSize = ''; });
}


const kinds = {
  'a desktop': {},
  'a phone': {
    viewport: { width: 390, height: 844 },
    isMobile: true,
    hasTouch: true,
  },
};

for (const [kind, options] of Object.entries(kinds)) {
  test(`the login page fits on ${kind}`, async () => {
    const page = await visit('/login/', options);

    await fits(page, 'login page');

    await page.route('**/api/v1/session/', (route) => route.fulfill({
      status: 403,
      json: { detail: `Wrong. ${LONG} ${'word '.repeat(40)}` },
    }));
    await login(page, { name: LONG, password: LONG });
    await page.waitForSelector('#error:not(:empty)');
    await fits(page, 'failed login');

    // content below the view can be reached
    await page.locator('button').scrollIntoViewIfNeeded();
    assert.ok(await page.evaluate(() => {
      const { top, bottom } = window.part('button')
        .getBoundingClientRect();

      return top >= 0 && bottom <= innerHeight;
    }), 'the button can be reached');
  });

  test(`the list of users fits on ${kind}`, { skip }, async () => {
    const page = await open(alice, '/', options);

    await page.locator('.badge:visible').first().waitFor({ state: 'attached' });
    assert.ok(await page.locator('#inbox .person').count() > 40);
    await fits(page, 'people');

    await page.click('#me');
    await page.waitForSelector('#menu button');
    await fits(page, 'menu');
    await page.click('#change-password');
    await page.waitForSelector('dialog');
    await fits(page, 'dialog');

    await page.route('**/api/v1/password/', (route) => route.fulfill({
      status: 400,
      json: { new_password: [`${LONG} ${'word '.repeat(40)}`] },
    }));
    await page.fill('#old-password', LONG);
    await page.fill('#new-password', LONG);
    await page.locator('#password-form .primary').click();
    await page.waitForSelector('#password-error:not(:empty)');
    await fits(page, 'dialog with an error');
    await page.keyboard.press('Escape');

    for (const query of ['many', 'WWW', 'nobody'.repeat(30), 'a b '.repeat(50)]) {
      await page.fill('#search', query);
      await page.waitForTimeout(400);
      await fits(page, `search for ${query}`);
    }

    await page.route('**/api/v1/user/?*', (route) => route.fulfill({
      status: 400,
      json: { search: [`${LONG} ${'word '.repeat(40)}`] },
    }));
    await page.fill('#search', 'x');
    await page.waitForSelector('#nobody:visible');
    await fits(page, 'search with an error');
    await page.unroute('**/api/v1/user/?*');

    await page.fill('#search', '');
    await page.evaluate((words) => {
      window.part('#notice').textContent = words;
    }, `${LONG} ${'word '.repeat(20)}`);
    await fits(page, 'notice');

    await page.context().setOffline(true);
    await page.getByText('You are offline.').waitFor();
    await fits(page, 'offline');
  });

  test(`a conversation fits on ${kind}`, { skip }, async () => {
    const page = await talk(alice, bob, options);
    const [failed, pending] = [words(LONG), words('pending')];

    for (const text of ['x'.repeat(3900), 'word '.repeat(300),
                        'line\n'.repeat(60), '字'.repeat(400)])
    {
      await write(page, words(text));
    }

    // a field with enough room has no scroll bar
    for (const text of ['', 'line', 'line\n'.repeat(4)]) {
      await page.fill('#text', text);
      assert.ok(await page.locator('#text').evaluate((node) =>
        node.scrollHeight <= node.clientHeight), `the field with "${text}"`);
    }

    await message(page, await page.locator('.message .text').last()
      .textContent(), 'sent');
    await fits(page, 'conversation');

    await page.evaluate(() => { window.part('#log').scrollTop = 0; });
    await page.waitForSelector('#pill');
    await fits(page, 'pill');

    await page.locator('.sent .more').last().click();
    await page.click('#reply');
    await page.waitForSelector('#about');
    await fits(page, 'reply');
    await write(page, words(`${LONG} ${LONG}`));
    await page.locator('.sent .quote').last().waitFor();
    await fits(page, 'quote');

    await page.locator('.sent .more').last().click();
    await page.click('#delete');
    await page.waitForSelector('#confirm');
    await fits(page, 'confirmation');
    await page.click('#confirm-cancel');

    await page.click('#talk-more');
    await page.waitForSelector('#block');
    await fits(page, 'menu of the conversation');
    await page.click('#find-here');
    await page.fill('#find-text', 'w');
    await page.waitForSelector('.hit');
    await fits(page, 'search of messages');
    await page.fill('#find-text', LONG);
    await page.getByText('No messages found.').or(page.locator('.hit')).first()
      .waitFor();
    await fits(page, 'search without results');
    await page.click('#find-close');

    const block = (blocked) => page.evaluate((blocked) => {
      window.part('#barred').hidden = !blocked;
      window.part('#composer').hidden = blocked;
    }, blocked);

    await block(true);
    await fits(page, 'blocked');
    await block(false);

    await page.fill('#text', `${LONG.repeat(5)} ${'line\n'.repeat(50)}`);
    await fits(page, 'long draft');

    await page.route('**/api/v1/message/', (route) => route.fulfill({
      status: 400,
      json: { body: [`${LONG} ${'word '.repeat(30)}`] },
    }));
    await write(page, failed);
    await message(page, failed, 'failed');
    await page.unroute('**/api/v1/message/');
    await page.route('**/api/v1/message/', () => {});
    await write(page, pending);
    await message(page, pending, 'pending');
    await fits(page, 'failed and pending');

    for (const name of [LONG, 'nobody-at-all', `${LONG} ${LONG} ${LONG}`]) {
      await page.evaluate((hash) => { location.hash = hash; },
                          `#/${encodeURIComponent(name)}`);
      await eventually(async () => await page.textContent('#with') === name,
                       'opened');
      await page.waitForSelector('#log[aria-busy="false"]');
      await fits(page, `conversation with ${name}`);
    }

    await page.route('**/api/v1/message/?*before=*', (route) => route.abort());
    await page.evaluate((hash) => { location.hash = hash; }, `#/${carol.name}`);
    await page.waitForSelector('#older', { state: 'visible' });
    await fits(page, 'nothing loaded');

    await page.evaluate(() => { location.hash = '#/'; });
    await page.waitForSelector('#conversation', { state: 'hidden' });
    await fits(page, 'none open');
  });
}

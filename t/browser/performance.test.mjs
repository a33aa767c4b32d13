/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * A conversation of 5,000 messages.  Limits of time use the processor time of
 * the page, or the best of several samples, so that other processes do not
 * matter.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { alice, eventually, message, sql, talkTo, texts, words }
  from './helpers.mjs';

const skip = !process.env.CHAT_DEV && 'no CHAT_DEV';
const MANY = 5000;
const writer = 'writes_much';
const id = (name) => `(SELECT id FROM chat_user WHERE username = '${name}')`;
const pair = `lo_id = LEAST(${id(alice.name)}, ${id(writer)})
              AND hi_id = GREATEST(${id(alice.name)}, ${id(writer)})`;


/* Sends texts from the writer to alice, without the server. */
function store(bodies) {
  return `INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
    SELECT sender.id, recipient.id, UTC_TIMESTAMP(6), texts.body
    FROM chat_user sender, chat_user recipient,
         (${bodies.map((body) => `SELECT '${body}' AS body`).join(' UNION ALL ')})
         AS texts
    WHERE sender.username = '${writer}'
          AND recipient.username = '${alice.name}';`;
}


before(() => {
  if (skip) {
    return;
  }

  const bodies = Array.from({ length: MANY }, (_, i) => `message ${i}`);
  const inserts = [];

  while (bodies.length > 0) {
    inserts.push(store(bodies.splice(0, 500)));
  }

  sql(`INSERT INTO chat_user (username) VALUES ('${writer}');
       ${inserts.join('\n')}
       INSERT INTO chat_conversation (lo_id, hi_id, message_count,
         last_message_id, lo_read_id, hi_read_id)
       SELECT lo_id, hi_id, COUNT(*), MAX(id), MAX(id), MAX(id)
       FROM chat_message WHERE ${pair} GROUP BY lo_id, hi_id;`);
});


after(() => {
  if (!skip) {
    sql(`DELETE FROM chat_conversation WHERE ${pair};
         DELETE FROM chat_message WHERE sender_id = ${id(writer)}
                                        OR recipient_id = ${id(writer)};
         DELETE FROM chat_user WHERE username = '${writer}'`);
  }
});


/* Scrolls up until a message is displayed; returns the number of requests. */
async function scrollTo(page, text) {
  let requests = 0;
  const count = (request) => {
    requests += request.url().includes('before=') ? 1 : 0;
  };

  page.on('request', count);
  await page.evaluate(async (text) => {
    const log = window.part('#log');
    const shown = () => [...log.querySelectorAll('.text')]
      .some(({ textContent }) => textContent === text);

    while (!shown()) {
      log.scrollTop = 0;
      await new Promise((resolve) => { setTimeout(resolve, 4); });
    }
  }, text);
  page.off('request', count);

  return requests;
}


/* The seconds of processor time that the page has used. */
async function used(session) {
  const { metrics } = await session.send('Performance.getMetrics');

  return metrics.find(({ name }) => name === 'TaskDuration').value;
}


function nodes(page) {
  return page.evaluate(() => window.parts('*').length);
}


/* The shortest time of a key press, with the layout that it causes, ms. */
function keyPress(page) {
  return page.locator('#text').evaluate((node) => {
    const times = Array.from({ length: 20 }, () => {
      const start = performance.now();

      node.value += 'x';
      node.dispatchEvent(new InputEvent('input', { bubbles: true }));
      node.getBoundingClientRect();

      return performance.now() - start;
    });

    node.value = '';

    return Math.min(...times);
  });
}


test('a page with 5,000 messages stays small and fast', { skip }, async () => {
  const page = await talkTo(alice, writer);
  const session = await page.context().newCDPSession(page);

  await message(page, `message ${MANY - 1}`);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });

  const requests = await scrollTo(page, `message ${MANY - 1000}`);

  assert.ok(requests <= 25, `${requests} requests for 1,000 messages`);

  await scrollTo(page, 'message 0');
  assert.equal((await texts(page))[0], 'message 0');

  const count = await nodes(page);

  assert.ok(count <= 2000, `${count} nodes`);

  const press = await keyPress(page);

  assert.ok(press < 16, `${press} ms per key`);

  // new messages do not move the view, and a button leads to them
  const start = await used(session);
  const name = page.locator('.person', { hasText: writer });

  for (let i = 0; i < 10; i++) {
    const text = words();

    sql(`${store([text])}
         UPDATE chat_conversation
         SET last_message_id = (SELECT MAX(id) FROM chat_message)
         WHERE ${pair};`);
    await page.evaluate(() =>
      document.dispatchEvent(new Event('visibilitychange')));
    await name.locator('.preview').getByText(text).waitFor();
  }

  const each = (await used(session) - start) * 1000 / 10;

  assert.ok(each < 60, `${each} ms per message`);
  assert.equal((await texts(page))[0], 'message 0');
  await page.click('#pill');
  await eventually(async () => (await texts(page)).length > 50
                   && await page.locator('#pill').isHidden(), 'at the end');
  assert.ok(await nodes(page) <= 2000);
});

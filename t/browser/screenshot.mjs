/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Makes docs/screenshot.png, with a new site without messages:
 *
 *     CHAT_URL=... CHAT_USERS=... node t/browser/screenshot.mjs
 */

import { fileURLToPath } from 'node:url';
import { alice, bob, browser, carol, message, open, request, talk }
  from './site.mjs';

const path = fileURLToPath(new URL('../../docs/screenshot.png',
                                   import.meta.url));

// age in minutes, sender, recipient, text
const conversation = [
  [1500, bob, alice, 'Are we still on for Saturday?'],
  [1492, alice, bob, 'Absolutely. Ten o’clock at the old bridge?'],
  [1489, bob, alice, 'Perfect. I’ll bring coffee.'],
  [1489, bob, alice, 'And the good biscuits, if the baker has any left.'],
  [34, alice, bob, 'The river is high, the lower path was closed when I came '
                   + 'by this morning. We could take the upper one instead.'],
  [29, bob, alice, 'Upper path it is. The view is better anyway, and there is '
                   + 'that bench half-way where one can see both valleys.'],
  [12, carol, alice, 'The tickets have come!'],
  [11, carol, alice, 'Shall I bring yours to rehearsal?'],
  [5, bob, alice, 'Leaving now. See you there'],
  [3, alice, bob, 'On my way. I have the binoculars.'],
];

const ages = new Map();


/* The conversation is new: the page gets older times. */
async function setBack(route) {
  const answer = await route.fetch();
  const data = await answer.json();

  for (const item of data.results ?? []) {
    const shown = item.last_message ?? item;

    shown.timestamp = new Date(Date.now() - ages.get(shown.body) * 60e3);
  }

  await route.fulfill({ response: answer, json: data });
}


for (const [age, from, to, body] of conversation) {
  const page = await open(from);

  ages.set(body, age);
  await request(page, 'POST', '/api/v1/message/', { recipient: to.name, body });
  await page.context().close();
}

const page = await talk(alice, bob, { locale: 'en-GB' });

await page.route('**/api/v1/{message,conversation}/?*', setBack);

// after the first check has marked it as read
await page.waitForSelector('[aria-current] .badge', { state: 'hidden' });
await page.reload();
await message(page, conversation.at(-1)[3]);
await page.screenshot({ path });
await browser.close();

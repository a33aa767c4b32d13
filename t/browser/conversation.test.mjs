/*
 * Copyright (C) ngx_chat contributors
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, message, open, people, readAll,
         request, talk, talkTo, texts, words, write } from './helpers.mjs';

const low = { viewport: { width: 800, height: 500 } };


function person(page, { name }) {
  return page.locator('.person', {
    has: page.getByText(name, { exact: true }),
  });
}


function scrollToTop(page) {
  return page.evaluate(() => { window.part('#log').scrollTop = 0; });
}


async function nothingUnread(page) {
  await eventually(async () => !(await page.title()).startsWith('('), 'read');
}


test('two windows write to each other', async () => {
  const here = await talk(alice, bob);
  const there = await talk(bob, alice);
  const question = words('How are you?');
  const answer = words('Fine, and you?');

  await write(here, question);
  await message(here, question, 'mine');
  await message(there, question, 'theirs');

  await write(there, answer);
  await message(here, answer, 'theirs');
  await message(there, answer, 'mine');
  await message(here, question, 'sent');
});


test('a second window of the sender shows the message too', async () => {
  const here = await talk(alice, bob);
  const also = await talk(alice, bob);
  const text = words();

  await write(here, text);
  await message(also, text, 'mine');
});


test('Shift+Enter starts a new line', async () => {
  const page = await talk(alice, bob);
  const text = words();

  await page.fill('#text', text);
  await page.press('#text', 'Shift+Enter');
  await page.type('#text', 'second line');
  await page.press('#text', 'Enter');

  await eventually(async () => (await texts(page)).at(-1)
                               === `${text}\nsecond line`, 'in one message');
});


test('an unread message is counted in the list and the title', async () => {
  await readAll(alice);

  const sender = await talk(carol, alice);
  const page = await open(alice, `/#/${bob.name}`);
  const badge = person(page, carol).locator('.badge');
  const text = words();

  await nothingUnread(page);

  await write(sender, text);
  await badge.getByText('1', { exact: true }).waitFor();

  assert.match(await page.title(), /^\(1\) /);
  assert.equal(await page.locator('.person .name').first().textContent(),
               carol.name, 'the latest conversation is first');

  await person(page, carol).click();
  await message(page, text);
  await nothingUnread(page);

  // the server has the same count
  await page.reload();
  await page.waitForSelector('.person');
  assert.doesNotMatch(await page.title(), /^\(/);
});


test('scrolling up loads older messages and keeps the position', async () => {
  const sender = await talk(bob, carol);
  const text = words('line');

  for (let i = 0; i < 50; i++) {
    await request(sender, 'POST', '/api/v1/message/',
                  { recipient: carol.name, body: `${text} ${i}` });
  }

  await readAll(carol);

  const page = await talk(carol, bob, low);

  await message(page, `${text} 49`);
  assert.ok(await page.locator('.message').count() < 50, 'not all at once');

  // the next page is loaded each time the top is reached; messages far below
  // the view have no nodes
  const seen = new Set();

  await eventually(async () => {
    const lines = await page.evaluate(() => {
      const shown = window.parts('.message .text')
        .map(({ textContent }) => textContent);

      window.part('#log').scrollTop = 0;

      return shown;
    });
    const numbers = lines.filter((line) => line.startsWith(text))
      .map((line) => Number(line.slice(text.length)));

    numbers.forEach((number, i) => {
      assert.equal(number, numbers[0] + i, 'in order, without gaps');
      seen.add(number);
    });

    return seen.has(0);
  }, 'the oldest is there', 20e3);

  assert.equal(seen.size, 50);
});


test('visible messages do not move when older messages are loaded',
     async () => {
  const page = await talk(carol, bob, low);
  let release;

  await page.waitForSelector('.message');
  await page.route('**/api/v1/message/?*before=*', async (route) => {
    await new Promise((resolve) => { release = resolve; });
    await route.continue();
  });

  const top = () => page.evaluate(() => {
    const node = window.marked ??= window.part('.message');

    return node.getBoundingClientRect().top;
  });

  const count = await page.locator('.message').count();

  await scrollToTop(page);
  await eventually(() => release, 'older ones are asked for');

  const before = await top();

  release();
  await eventually(async () => await page.locator('.message').count() > count,
                   'older messages are loaded');

  assert.ok(Math.abs(await top() - before) < 2, `${await top()} = ${before}`);
});


test('a button shows new messages below the view', async () => {
  const sender = await talk(bob, carol);
  const page = await talk(carol, bob, low);
  const text = words();

  await page.waitForSelector('.message');
  await scrollToTop(page);
  await page.waitForSelector('#pill');
  await write(sender, text);
  await page.getByText('1 new message').waitFor();

  await page.click('#pill');
  assert.ok(await (await message(page, text)).isVisible());
  await page.waitForSelector('#pill', { state: 'hidden' });
});


test('markup in a message is shown as text', async () => {
  const page = await talk(bob, alice);
  const sender = await talk(alice, bob);
  const text = words('<img src=x onerror="window.broken=1"><b>bold</b> &lt; '
                     + '<script>window.broken=1</script> \u202E');

  await write(sender, text);

  const found = await message(page, text);

  assert.equal(await found.locator('.text').textContent(), text);
  assert.equal(await page.locator('#messages :is(img, script, b)').count(), 0);
  assert.equal(await page.evaluate(() => window.broken), undefined);
  assert.equal(await person(page, alice).locator('.preview').textContent(),
               text);
});


test('emoji and long texts are received unchanged', async () => {
  const page = await talk(bob, alice);
  const sender = await talk(alice, bob);

  for (const text of [words('\u{1F468}\u200D\u{1F469}\u200D\u{1F467} שלום'),
                      words('x'.repeat(3900))])
  {
    await write(sender, text);
    await message(page, text);
  }
});


test('a failed message is marked and can be sent again', async () => {
  const page = await talk(alice, bob);
  const there = await talk(bob, alice);
  const text = words();

  await page.route('**/api/v1/message/', (route) => route.fulfill({
    status: 400,
    json: { body: ['Not now.'] },
  }));
  await write(page, text);

  const failed = await message(page, text, 'failed');

  assert.equal(await there.getByText(text).count(), 0);

  await page.unroute('**/api/v1/message/');
  await failed.getByText('Try again').click();
  await message(page, text, 'sent');
  await message(there, text);
});


test('a message is stored once if its response is lost', async () => {
  const page = await talk(alice, bob);
  const there = await talk(bob, alice);
  const text = words();

  // the server stores it, but the page gets no response
  await page.route('**/api/v1/message/', async (route) => {
    await route.fetch();
    await route.abort();
  });
  await write(page, text);
  await message(there, text);

  // its event shows that it is stored, although each attempt fails
  await message(page, text, 'sent');
  await page.waitForTimeout(1500);
  await message(page, text, 'sent');

  await page.unroute('**/api/v1/message/');
  await page.waitForTimeout(1500);
  await message(page, text, 'sent');
  await message(there, text);
});


test('a message that is too long can be edited', async () => {
  const page = await talk(alice, bob);
  const text = words('y'.repeat(20000));

  await write(page, text);

  const failed = await message(page, text, 'failed');

  assert.match(await failed.locator('.fault').textContent(), /4000 characters/);

  await failed.getByText('Edit').click();
  assert.equal(await page.inputValue('#text'), text);
  assert.equal(await page.locator('.failed').count(), 0);
});


test('a message is marked while it is sent', async () => {
  const page = await talk(alice, bob);
  const text = words();
  let release;

  await page.route('**/api/v1/message/', async (route) => {
    await new Promise((resolve) => { release = resolve; });
    await route.continue();
  });
  await write(page, text);
  await message(page, text, 'pending');

  await eventually(() => release, 'it is being sent');
  release();
  await message(page, text, 'sent');
});


test('an unknown name is reported clearly', async () => {
  const page = await talkTo(alice, words('nobody').replace(' ', '-'));
  const text = words();

  await write(page, text);

  assert.match(await (await message(page, text, 'failed')).textContent(),
               /no user with this name/);
});


test('case is ignored in a name in the address', async () => {
  await readAll(alice);

  const there = await talk(bob, alice);
  const [before, question, answer] = [words('1'), words('2'), words('3')];

  await write(there, before);
  await message(there, before, 'sent');

  const page = await talkTo(alice, bob.name.toUpperCase());

  await message(page, before);
  await write(page, question);
  await message(page, question, 'sent');
  await message(there, question);
  await write(there, answer);
  await message(page, answer);
  await nothingUnread(page);

  assert.equal(await page.textContent('#with'), bob.name);
  assert.ok(page.url().endsWith(`#/${bob.name}`), page.url());
  assert.equal(await person(page, bob).getAttribute('aria-current'), 'true');
});


test('typed text stays when the spelling of the name is corrected',
     async () => {
  const page = await open(alice);
  const text = words();
  let release;

  await page.route('**/api/v1/message/?*before=*', async (route) => {
    await new Promise((resolve) => { release = resolve; });
    await route.continue();
  });
  await page.evaluate((name) => { location.hash = `#/${name}`; },
                      bob.name.toUpperCase());
  await eventually(() => release, 'messages are asked for');
  await page.fill('#text', text);
  release();
  await eventually(async () => await page.textContent('#with') === bob.name,
                   'the stored spelling of the name');
  assert.equal(await page.inputValue('#text'), text);
});


test('the search finds users by the beginning of the name', async () => {
  const page = await open(alice);

  await page.fill('#search', bob.name.slice(0, 2).toUpperCase());
  await eventually(async () => await page.locator('.person').count() === 1,
                   'one user is found');
  await page.press('#search', 'Enter');
  await page.waitForSelector('#conversation');
  assert.equal(await page.textContent('#with'), bob.name);

  await page.fill('#search', 'nobody-at-all');
  await page.getByText('No user found').waitFor();

  await page.fill('#search', '');
  await eventually(async () => await page.locator('.person').count()
                               === people.length - 1, 'all users again');
});


test('the page can be used with the keyboard only', async () => {
  const page = await open(alice);
  const text = words();

  await page.focus('#search');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#conversation');
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
  await message(page, text, 'sent');
});


test('a phone shows one pane at a time', async () => {
  const page = await open(alice, '/', {
    viewport: { width: 390, height: 844 },
    isMobile: true,
    hasTouch: true,
  });

  const width = () => page.evaluate(() => document.documentElement.scrollWidth);

  await person(page, bob).tap();
  await page.waitForSelector('#log');
  assert.ok(!await page.isVisible('.people'));
  assert.equal(await width(), 390, 'nothing overflows');

  await page.tap('#back');
  await page.waitForSelector('.people');
  assert.ok(!await page.isVisible('#log'));
  assert.equal(await width(), 390, 'nothing overflows');
});


test('a draft stays in its conversation', async () => {
  const page = await talk(alice, bob);
  const text = words();

  await page.fill('#text', text);
  await person(page, carol).click();
  await eventually(async () => await page.inputValue('#text') === '',
                   'empty in the other conversation');
  await person(page, bob).click();
  await eventually(async () => await page.inputValue('#text') === text,
                   'kept in its conversation');
});


test('links, code and emoji are displayed as such', async () => {
  const page = await talk(alice, bob);
  const show = async (text) => {
    await write(page, text);
    await page.locator('.mine.sent.last').last().waitFor();

    return page.locator('.message').last().locator('.text');
  };
  const links = (found) => found.locator('a').evaluateAll((nodes) =>
    nodes.map(({ href, textContent, rel }) => [href, textContent, rel]));
  const rel = 'noopener noreferrer';

  for (const [text, ...wanted] of [
    ['see https://example.org/a?b=1#c.', 'https://example.org/a?b=1#c'],
    ['(http://example.org/x_(y)), and', 'http://example.org/x_(y)'],
    ['javascript:alert(1) ftp://example.org www.example.org'],
    ['https:// https://'],
    ['https://münchen.example/ and https://example.org/ä',
     'https://münchen.example/', 'https://example.org/ä'],
  ]) {
    const found = await show(text);

    await eventually(async () => await found.textContent() === text, text);
    assert.deepEqual(await links(found), wanted.map((link) =>
      [new URL(link).href, link, rel]), text);
  }

  assert.deepEqual(await links(await show('mail to bob+x@example.org!')),
                   [['mailto:bob+x@example.org', 'bob+x@example.org', rel]]);

  const code = await show('run `make https://example.org/` or\n```\na < b\n```');

  await code.locator('.block').waitFor();
  assert.equal(await code.locator('.inline').textContent(),
               'make https://example.org/');
  assert.equal(await code.locator('.block').textContent(), 'a < b');
  assert.deepEqual(await links(code), []);

  for (const [text, large] of [['👍🏽', true], ['👩‍👩‍👧 🎉 ❤️', true],
                               ['👍👍👍👍', false], ['7', false], ['ok 👍', false]])
  {
    const found = await show(text);

    await eventually(async () => await found.textContent() === text, text);
    assert.equal(await found.evaluate((node) =>
      node.classList.contains('emoji')), large, text);
  }
});


test('a conversation opens at the first unread message; only visible messages '
     + 'are read', async () => {
  const sender = await talk(bob, carol);
  const text = words('line');
  const unread = (page) => page.evaluate(async (name) => {
    const response = await fetch('/api/v1/conversation/');
    const { results } = await response.json();

    return results.find(({ user }) => user === name).unread;
  }, bob.name);

  await readAll(carol);

  await sender.evaluate(async ([recipient, text]) => {
    for (let i = 0; i < 130; i++) {
      await fetch('/api/v1/message/', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ recipient, body: `${text} ${i}` }),
      });
    }
  }, [carol.name, text]);

  const page = await talk(carol, bob, low);

  await message(page, `${text} 0`);
  await eventually(() => page.locator('#log').evaluate((log) => {
    const { top, bottom } = window.part('.new').getBoundingClientRect();
    const view = log.getBoundingClientRect();

    return top >= view.top - 1 && bottom <= view.bottom;
  }), 'the first unread message is visible');

  await eventually(async () => await unread(page) < 130, 'some are read');
  assert.ok(await unread(page) > 110, 'those below the view are not');
  assert.match(await page.textContent('.person[aria-current] .badge'),
               /^(99\+|1\d\d) unread$/);

  // down to the end, through messages without nodes
  await page.focus('#log');
  await eventually(async () => {
    await page.keyboard.press('PageDown');

    return await page.getByText(`${text} 129`, { exact: true }).count() > 0
           && await page.isHidden('#pill');
  }, 'the latest message is reached', 60e3);
  await eventually(async () => await unread(page) === 0, 'all are read');
});

/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * A page whose user is no longer logged in: it shows nothing of the new user,
 * changes nothing with the new session, and reloads.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, login, message, request, sql, talk,
         url, visit, words, write } from './helpers.mjs';

const skip = !process.env.CHAT_DEV && 'no CHAT_DEV';


/* Without messages between tabs, only the server reports another login. */
function alone() {
  window.BroadcastChannel = class {
    postMessage() {}
    close() {}
  };
}


/*
 * Opens a page of `person` in a new browser context with its own session.  The
 * page checks its session when its socket is connected: this is over.
 */
async function tab(person, other, options = { init: alone }) {
  const page = await visit(`/login/?next=${encodeURIComponent(
    other ? `/#/${other.name}` : '/')}`, options);
  const socket = page.waitForEvent('websocket', { timeout: 5e3 })
    .catch(() => {});

  await login(page, person);
  await page.waitForSelector('#me');
  await socket;
  await page.waitForLoadState('networkidle');

  if (other) {
    await page.waitForSelector('#log[aria-busy="false"]');
  }

  await page.evaluate(() => { window.kept = true; });

  return page;
}


/*
 * Logs in another user, as an unrelated tab does.  The page catches up from time
 * to time, so it may find out at any moment from now on.  It then restarts, and
 * what a test does on the page may fail: such calls are in quick().
 */
async function become(page, { name, password }) {
  const response = await page.context().request.post(
    `${url}/api/v1/session/`, { data: { username: name, password } });

  assert.equal(response.status(), 200);
}


/* Does something on a page that may have restarted. */
async function quick(page, action) {
  page.setDefaultTimeout(3e3);
  await action().catch(() => {});
  page.setDefaultTimeout(30e3);
}


/*
 * Clicks an element of the page, unless the page has restarted: then it is the
 * new user's, who may click.
 */
async function clickHere(page, selector, text = '') {
  let missing = false;

  await quick(page, async () => {
    missing = await page.evaluate(([selector, text]) => {
      const found = window.parts(selector)
        .find((element) => element.textContent.includes(text));

      if (window.kept) {
        found?.click();
      }

      return window.kept && !found;
    }, [selector, text]);
  });

  assert.ok(!missing, `the page has ${selector}`);
}


async function isNow(page, { name }) {
  await eventually(async () => {
    try {
      return await page.textContent('#me .name', { timeout: 1000 }) === name
             && await page.isVisible('#me')
             && await page.evaluate(() => window.kept === undefined);

    } catch {
      return false;    // during navigation
    }
  }, `it is ${name}'s page`, 20e3);
}


/* Checks that nothing of the previous user is left. */
async function isNew(page, { name }) {
  await isNow(page, { name });
  assert.equal(new URL(page.url()).hash, '', 'no conversation is open');
  assert.ok(!await page.isVisible('#conversation'));
  assert.equal(await page.inputValue('#search'), '');
  assert.equal(await page.inputValue('#text'), '');
  assert.equal(await page.locator('.message').count(), 0);
}


function stored(text) {
  return sql(`SELECT username FROM chat_message m JOIN chat_user u
              ON u.id = m.sender_id WHERE body = '${text}'`).trim();
}


test('a message is not sent as another user', { skip }, async () => {
  for (const other of [bob, carol, alice]) {
    const page = await tab(alice, other);
    const text = words();

    await become(page, bob);
    await quick(page, () => write(page, text));
    await isNew(page, bob);
    assert.equal(stored(text), '', `to ${other.name}`);
  }
});


test('a failed or waiting message is not sent as another user', { skip },
     async () => {
  const page = await tab(alice, carol);
  const [failed, next] = [words('failed'), words('next')];

  await page.route('**/api/v1/message/', (route) => route.fulfill({
    status: 400,
    json: { body: ['Not now.'] },
  }));
  await write(page, failed);

  const item = await message(page, failed, 'failed');
  const again = item.getByText('Try again');

  await again.waitFor();
  await page.unroute('**/api/v1/message/');
  await become(page, bob);
  await quick(page, () => again.click());
  await quick(page, () => write(page, next));
  await isNew(page, bob);
  await page.waitForTimeout(1000);
  assert.equal(stored(failed), '');
  assert.equal(stored(next), '');
});


test('a waiting message is not sent as another user after a reconnect',
     { skip },
     async () => {
  const page = await tab(alice, carol);
  const text = words();

  await page.context().setOffline(true);
  await write(page, text);
  await message(page, text, 'waiting');
  await page.fill('#text', 'a draft');
  await page.fill('#search', 'ca');
  await become(page, bob);
  await page.context().setOffline(false);
  await isNew(page, bob);
  await page.waitForTimeout(1000);
  assert.equal(stored(text), '');

  // the draft was for the same user
  await page.locator('.person', { hasText: carol.name }).click();
  await page.waitForSelector('#conversation');
  assert.equal(await page.inputValue('#text'), '');
});


for (const [what, event] of Object.entries({
  'gets the focus': () => window.dispatchEvent(new Event('focus')),
  'is visible': () => document.dispatchEvent(new Event('visibilitychange')),
  'goes online': () => window.dispatchEvent(new Event('online')),
})) {
  test(`a page that ${what} checks the session`, async () => {
    const page = await tab(alice, carol);

    await page.fill('#text', 'a draft');
    await become(page, bob);
    await quick(page, () => page.evaluate(event));
    await isNew(page, bob);
  });
}


test('a page that was frozen checks the session first', { skip }, async () => {
  const page = await tab(alice, carol);
  const text = words();
  const session = await page.context().newCDPSession(page);

  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  await become(page, bob);
  await session.send('Page.setWebLifecycleState', { state: 'active' });
  await quick(page, () => write(page, text));
  await isNew(page, bob);
  assert.equal(stored(text), '');
});


test('a page checks the session when it reconnects', async () => {
  const page = await tab(alice, carol, {
    init: () => {
      const { WebSocket } = window;

      window.sockets = [];
      window.WebSocket = class extends WebSocket {
        constructor(...values) {
          super(...values);
          window.sockets.push(this);
        }
      };
    },
  });

  await eventually(() => page.evaluate(() => window.sockets.at(-1)?.readyState
                                             === 1), 'connected');
  await become(page, bob);
  await quick(page, () => page.evaluate(() => window.sockets.at(-1).close()));
  await isNew(page, bob);
});


test('a login in one tab reloads the other tabs', async () => {
  const page = await tab(alice, carol, {});

  await page.fill('#text', 'a draft');
  await page.fill('#search', 'ca');

  const other = await page.context().newPage();

  await other.goto(`${url}/login/`);
  await login(other, bob);
  await other.waitForSelector('#me');
  await isNew(page, bob);
  assert.equal(await other.textContent('#me .name'), bob.name);
});


test('another login of the same user changes nothing', { skip }, async () => {
  const page = await tab(alice, bob, {});
  const text = words();

  await page.fill('#text', text);
  await become(page, alice);

  const other = await page.context().newPage();

  await other.goto(url);
  await other.waitForSelector('#me');
  await page.evaluate(() => {
    window.dispatchEvent(new Event('focus'));
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await page.waitForTimeout(1500);
  assert.ok(await page.evaluate(() => window.kept),
            'the page was not reloaded');
  await page.press('#text', 'Enter');
  await message(page, text, 'sent');
  assert.equal(stored(text), alice.name);
});


test('a logout does not end the session of another user', async () => {
  const page = await tab(alice);

  await page.click('#me');
  await page.waitForSelector('#logout');
  await become(page, bob);
  await clickHere(page, '#logout');
  await isNew(page, bob);
});


test('a password change is not sent as another user', async () => {
  const page = await tab(alice);
  const asked = [];

  await page.click('#me');
  await page.click('#change-password');
  await page.fill('#old-password', alice.password);
  await page.fill('#new-password', `${alice.password}-new`);
  await become(page, bob);
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await clickHere(page, '#password-form .primary');
  await isNew(page, bob);
  assert.ok(!asked.includes('/api/v1/password/'));
});


test('messages are not marked as read for another user', async () => {
  const sender = await talk(carol, bob);
  const page = await tab(alice);
  const [one, two] = [words(), words()];

  for (const [recipient, body] of [[alice.name, one], [bob.name, two]]) {
    await request(sender, 'POST', '/api/v1/message/', { recipient, body });
  }

  await page.locator('.preview', { hasText: one }).waitFor();
  await become(page, bob);
  await clickHere(page, '.person', carol.name);
  await isNow(page, bob);

  const unread = await page.evaluate(async (name) => {
    const response = await fetch('/api/v1/conversation/');
    const { results } = await response.json();

    return results.find(({ user }) => user === name).unread;
  }, carol.name);

  assert.ok(unread > 0, 'the message is unread for bob');
});


test('messages of the new user are not shown to the previous one', async () => {
  const sender = await talk(carol, bob);
  const page = await tab(alice, carol);
  const text = words('for bob');

  // the user in the corner when the message appears
  await page.context().exposeFunction('appeared', (name) => seen.push(name));

  const seen = [];

  await page.evaluate((text) => {
    new MutationObserver(() => {
      if (window.part('#app').textContent.includes(text)) {
        window.appeared(window.part('#me .name').textContent);
      }
    }).observe(window.part('#app'), { subtree: true, childList: true, characterData: true });
  }, text);

  await become(page, bob);
  await request(sender, 'POST', '/api/v1/message/',
                { recipient: bob.name, body: text });
  await quick(page, () => page.evaluate(() => {
    document.dispatchEvent(new Event('visibilitychange'));
  }));
  await isNew(page, bob);
  await page.locator('.preview', { hasText: text }).waitFor();
  assert.deepEqual(seen, []);
});


test('a login during a send is detected', async () => {
  const page = await tab(alice, carol);
  const text = words();

  // between the check and the send; only the server could reject this one
  await page.route('**/api/v1/message/', async (route) => {
    await become(page, bob);
    await route.continue();
  }, { times: 1 });
  await quick(page, () => write(page, text));
  await isNew(page, bob);
});


/* Each call of the Chat object reports it. */
test('each call of the library reports that another user is logged in',
     async () => {
  const sender = await talk(carol, alice);
  const page = await tab(alice);
  const calls = [
    ['catchUp'], ['people'], ['older', carol.name], ['markRead', carol.name],
    ['send', carol.name, 'as somebody else'],
    ['changePassword', 'wrong', 'wrong password'], ['logout'], ['start'],
  ];

  for (const recipient of [alice.name, bob.name]) {
    await request(sender, 'POST', '/api/v1/message/',
                  { recipient, body: words('unread') });
  }

  await page.route('**/own.html', (route) => route.fulfill({
    contentType: 'text/html',
    body: '<!DOCTYPE html><title>Empty</title>',
  }));
  await page.goto(`${url}/own.html`);
  await page.evaluate(async (calls) => {
    const { Chat } = await import('/static/chat.js');

    window.chats = await Promise.all(calls.map(async () => {
      const chat = new Chat();
      const events = [];

      for (const type of ['replaced', 'ended', 'message']) {
        chat.addEventListener(type, () => events.push(type));
      }

      await chat.start();

      return { chat, events };
    }));
  }, calls);
  await become(page, bob);

  for (const [i, [name, ...values]] of calls.entries()) {
    // an object that catches up by itself may have noticed it before the call
    const [noticed, status] = await page.evaluate(async ([i, name, values]) => {
      const { chat, events } = window.chats[i];
      const before = events.length;

      try {
        await chat[name](...values);

        return [before, null];

      } catch (error) {
        return [before, error.status];
      }
    }, [i, name, values]);

    // these never reject or return at once
    const quiet = ['older', 'markRead', 'send'].includes(name);

    assert.ok(noticed || status === (quiet ? null : 409), name);
    await eventually(() => page.evaluate((i) => window.chats[i].events.length, i),
                     `${name}() sends an event`);
    assert.deepEqual(await page.evaluate(([i, user]) => {
      const { chat, events } = window.chats[i];

      return [events, chat.me, chat.state,
              chat.conversation(user).messages.length];
    }, [i, carol.name]), [['replaced'], alice.name, 'stopped', 0], name);
  }

  const me = await page.context().request.get(`${url}/api/v1/session/`);

  assert.equal((await me.json()).username, bob.name,
               'the other user is still logged in');
});

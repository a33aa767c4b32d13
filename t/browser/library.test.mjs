/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The client library without the web client: in the example of docs/client.md,
 * and in an empty page for each promise of that document.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { alice, bob, carol, eventually, login, message, talk, texts, url, visit,
         words, write } from './helpers.mjs';
import { allow, call, EMPTY, happened, library, online, page } from './library.mjs';

const paper = readFileSync(new URL('../../docs/client.md', import.meta.url),
                           'utf8');
const [, example] = /^```html\n(.*?)^```$/ms.exec(paper);

const NOTHING = { value: undefined };   // the value of resolved promises


test('the page of docs/client.md is a chat', async () => {
  assert.ok(example.split('\n').length < 40, 'the page is small');

  const found = await page(alice, example.replaceAll("'bob'", `'${bob.name}'`));
  const there = await talk(bob, alice);
  const [question, answer] = [words('<b>Question</b>'), words('Answer')];
  const line = (text) => found.locator('li', { hasText: text });

  await found.fill('input', question);
  await found.click('button');
  await message(there, question);
  await eventually(async () => await line(question).textContent()
                               === `${alice.name}: ${question} `, 'sent');

  await write(there, answer);
  await line(answer).waitFor();
  assert.equal(await line(answer).textContent(), `${bob.name}: ${answer} `);
  assert.deepEqual((await found.locator('li').allTextContents()).slice(-2),
                   [`${alice.name}: ${question} `, `${bob.name}: ${answer} `]);

  await found.reload();
  await line(answer).waitFor();
  assert.equal(await line(question).count(), 1, 'history is shown once');

  await found.context().clearCookies();
  await found.reload();
  await found.waitForURL('**/login/');
});


test('login() sets the user', async () => {
  const found = await library(alice);

  await found.context().clearCookies();

  const wrong = await call(found, 'login', alice.name, 'wrong password');

  assert.equal(wrong.error, true);
  assert.equal(wrong.status, 403);
  assert.equal(wrong.passing, false);
  assert.equal(wrong.retryAfter, 0);
  assert.equal(wrong.message, 'Wrong username or password.');
  assert.equal((await call(found, 'login', '', '')).status, 400);
  assert.deepEqual(await happened(found, 'ended'), [], 'no session has ended');

  const { value } = await call(found, 'login', carol.name, carol.password);

  assert.equal(value.username, carol.name);
  assert.equal(typeof value.user_id, 'number');
  assert.equal(value.is_admin, false);

  assert.deepEqual(await found.evaluate(() => [window.chat.me,
                                               window.chat.state]),
                   [null, 'start']);
  assert.deepEqual(await call(found, 'start'), NOTHING);
  assert.equal(await found.evaluate(() => window.chat.me), carol.name);
  await online(found);
  assert.equal((await happened(found, 'state')).at(-1)[3], 'online');
});


test('start() rejects without a session and sends one event', async () => {
  const found = await library(alice);

  await found.context().clearCookies();

  for (let i = 0; i < 2; i++) {
    const { error, status } = await call(found, 'start');

    assert.equal(error, true);
    assert.equal(status, 403);
  }

  assert.equal((await happened(found, 'ended')).length, 1);
  assert.equal(await found.evaluate(() => window.chat.state), 'stopped');
});


test('start() can be called again after a failure', async () => {
  const found = await library(alice);

  await found.context().setOffline(true);

  const { error, status, passing, message } = await call(found, 'start');

  assert.equal(error, true);
  assert.equal(status, 0);
  assert.equal(passing, true);
  assert.equal(message, 'The server cannot be reached.');

  await found.context().setOffline(false);
  assert.deepEqual(await call(found, 'start'), NOTHING);
  await online(found);
});


test('a message is pending, then sent', async () => {
  const found = await library(alice);
  const there = await talk(bob, alice);
  const text = words('Sent');

  await call(found, 'start');
  await call(found, 'older', bob.name);
  await online(found);

  const item = await found.evaluate(([user, body]) => {
    const item = window.chat.send(user, body);
    const { outbox } = window.chat.conversation(user);

    return { ...item, there: outbox.includes(item) };
  }, [bob.name, `  ${text}\n`]);

  assert.equal(item.there, true, 'the message is in the outbox');
  assert.equal(item.body, text);
  assert.equal(item.user, alice.name);
  assert.equal(item.state, 'pending');
  assert.ok(Math.abs(Date.parse(item.timestamp) - Date.now()) < 60e3);

  await message(there, text);
  await eventually(() => found.evaluate((user) => window.chat
    .conversation(user).outbox.length === 0, bob.name), 'the outbox is empty');

  const [last, ...fields] = await found.evaluate((user) => {
    const { messages, last, more, loading, error } =
      window.chat.conversation(user);

    return [messages.at(-1), last.id === messages.at(-1).id, typeof more,
            loading, error];
  }, bob.name);

  assert.deepEqual(fields, [true, 'boolean', null, null]);
  assert.deepEqual(Object.keys(last).sort(), ['body', 'clientId', 'id',
    'recipient', 'timestamp', 'user']);
  assert.equal(last.body, text);
  assert.equal(last.clientId, item.clientId);
  assert.equal(typeof last.id, 'number');
  assert.deepEqual((await happened(found, 'message')).map(
    ([, custom, body]) => [custom, body]), [[true, text]], 'told once');
  assert.ok((await happened(found, 'change')).length > 0);
});


test('a received message is unread until it is marked as read', async () => {
  const found = await library(alice);
  const there = await talk(bob, alice);
  const text = words('Received');
  const unread = () => found.evaluate((user) => [window.chat.unread,
    window.chat.conversation(user).unread], bob.name);

  await call(found, 'start');
  await call(found, 'markRead', bob.name);
  await online(found);

  const [before] = await unread();

  await write(there, text);
  await eventually(async () => (await happened(found, 'message')).length === 1,
                   'an event is sent');
  assert.deepEqual(await unread(), [before + 1, 1]);
  assert.equal(await found.evaluate((user) => window.chat.conversation(user)
    .messages.length, bob.name), 0, 'no messages are loaded');
  assert.equal(await found.evaluate(() => window.chat.conversations[0].user),
               bob.name, 'the latest is the first');

  assert.deepEqual(await call(found, 'markRead', bob.name), NOTHING);
  assert.deepEqual(await unread(), [before, 0]);
  assert.ok(await found.evaluate((user) => {
    const { readId, last } = window.chat.conversation(user);

    return readId === last.id;
  }, bob.name));

  // the server has the same state
  const other = await library(alice);

  await call(other, 'start');
  assert.equal(await other.evaluate((user) => window.chat.conversation(user)
    .unread, bob.name), 0);
});


test('messages, conversations and users are loaded page by page', async () => {
  const found = await library(alice);
  const first = words('0');

  await call(found, 'start');
  await online(found);

  for (let i = 0; i < 18; i++) {
    await found.evaluate(([user, body]) => { window.chat.send(user, body); },
                         [carol.name, i === 0 ? first : `${first}.${i}`]);
  }

  await eventually(() => found.evaluate((user) => window.chat
    .conversation(user).outbox.length === 0, carol.name), 'all are sent');

  const other = await library(alice);
  const read = () => other.evaluate((user) => {
    const { messages, more } = window.chat.conversation(user);

    return [messages.map(({ body }) => body), more];
  }, carol.name);

  await call(other, 'start');
  assert.deepEqual(await read(), [[], true]);
  assert.deepEqual(await other.evaluate((user) => {
    const [one, two] = [window.chat.older(user), window.chat.older(user)];

    return [one === two, one === window.chat.conversation(user).loading];
  }, carol.name), [true, true], 'one at a time');

  await eventually(async () => (await read())[0].length === 15, 'a page');
  assert.deepEqual(await call(other, 'older', carol.name), NOTHING);

  const [bodies] = await read();
  const sent = bodies.slice(bodies.indexOf(first));

  assert.deepEqual(sent, [first, ...Array.from({ length: 17 },
    (_, i) => `${first}.${i + 1}`)], 'in the order of sending');

  const { value } = await call(other, 'people', bob.name.slice(0, 2));

  assert.ok(value.results.some(({ username }) => username === bob.name));
  assert.equal(value.has_more, false);
  assert.deepEqual((await call(other, 'people', bob.name, bob.name)).value,
                   { results: [], has_more: false });

  assert.equal(await other.evaluate(() => window.chat.more), false);
  assert.equal('value' in await call(other, 'catchUp'), true);
});


// a page of messages and a send return the stored spelling of a name
for (const steps of [['older', 'send'], ['send', 'older']]) {
  test(`a name in another case is recognized after ${steps[0]}()`,
       async () => {
    const found = await library(alice);
    const there = await talk(bob, alice);
    const other = bob.name.toUpperCase();
    const [before, failed, sent] = [words('1'), words('2'), words('3')];

    const send = (text) => found.evaluate(([user, body]) => {
      window.chat.send(user, body);
    }, [other, text]);
    const shown = (name) => found.evaluate((name) => {
      const { user, messages, outbox } = window.chat.conversation(name);

      return [user, ...[...messages, ...outbox].map(({ body }) => body)];
    }, name);

    await write(there, before);
    await message(there, before, 'sent');
    await call(found, 'start');
    await online(found);

    await found.route('**/api/v1/message/', (route) => route.abort());
    await send(failed);
    await eventually(() => found.evaluate((user) => window.chat
      .conversation(user).outbox[0].state === 'waiting', other), 'waiting');
    await found.unroute('**/api/v1/message/');
    assert.deepEqual(await shown(other), [other, failed]);

    for (const step of steps) {
      await (step === 'send' ? send(sent) : call(found, 'older', other));
      await eventually(async () => (await shown(other))[0] === bob.name,
                       `recognized after ${step}()`);
    }

    await eventually(async () => (await found.evaluate((user) => window.chat
      .conversation(user).outbox.length, other)) === 0, 'sent');

    // nothing is lost, and the order is kept
    assert.deepEqual((await shown(other)).slice(-3), [before, failed, sent]);
    assert.deepEqual(await shown(bob.name), await shown(other));
    assert.equal(await found.evaluate((user) => window.chat.conversations
      .filter((found) => found.user.toLowerCase() === user.toLowerCase())
      .length, other), 1, 'one in the list');
  });
}


test('a name in another case is recognized when that user writes',
     async () => {
  const found = await library(alice);
  const there = await talk(bob, alice);
  const other = bob.name.toUpperCase();
  const text = words();
  const shown = () => found.evaluate((name) => {
    const { user, messages, error } = window.chat.conversation(name);

    return [user, messages.at(-1)?.body, error];
  }, other);

  // as if the users had no messages
  const lists = /\/(conversation\/\?|message\/\?.*before=)/;

  await found.route(lists, (route) => route.fulfill({
    json: { results: [], has_more: false, cursor: null },
  }));
  await call(found, 'start');
  await call(found, 'older', other);
  await call(found, 'older', other);
  assert.deepEqual(await shown(), [other, undefined, null]);
  await found.unroute(lists);
  await online(found);

  await write(there, text);
  await eventually(async () => (await shown())[0] === bob.name, 'it is known');
  await eventually(async () => (await shown())[1] === text, 'it is there');
});


test('failures of sends, pages and requests are reported', async () => {
  const found = await library(alice);
  const there = await talk(bob, alice);
  const [kept, left] = [words('Kept'), words('Left')];
  const outbox = () => found.evaluate((user) => window.chat.conversation(user)
    .outbox.map(({ body, state, error }) => [body, state, error?.status,
                                             error?.passing]), bob.name);

  await call(found, 'start');
  await online(found);
  await found.context().setOffline(true);

  await found.evaluate(([user, ...all]) => {
    all.forEach((body) => window.chat.send(user, body));
  }, [bob.name, kept, left]);

  await eventually(async () => (await outbox()).every((item) => item[1]
                                                      === 'waiting'), 'waiting');
  assert.equal((await outbox())[0][2], 0, 'the server cannot be reached');

  assert.deepEqual(await call(found, 'older', bob.name), NOTHING,
                   'older() never rejects');
  assert.equal(await found.evaluate((user) => window.chat.conversation(user)
    .error.status, bob.name), 0);

  for (const name of ['catchUp', 'moreConversations', 'people', 'logout']) {
    assert.equal((await call(found, name)).status, 0, name);
  }

  await eventually(() => found.evaluate(() => window.chat.state === 'lost'),
                   'lost');
  await found.evaluate((user) => {
    const item = window.chat.conversation(user).outbox[1];

    window.chat.withdraw(user, item);
    window.chat.withdraw(user, item);
  }, bob.name);
  await found.context().setOffline(false);

  // retried automatically
  await message(there, kept);
  await online(found);
  assert.deepEqual(await outbox(), []);
  assert.ok(!(await texts(there)).includes(left));

  // an unknown name: neither retried automatically nor sent on request
  const fate = () => found.evaluate(() => window.chat.conversation('nobody')
    .outbox.map(({ state, error }) => [state, error?.status, error?.passing]));

  await found.evaluate(() => { window.chat.send('nobody', 'Hello'); });
  await eventually(async () => (await fate())[0][0] === 'failed', 'refused');
  assert.deepEqual(await fate(), [['failed', 404, false]]);
  assert.equal(await found.evaluate(() => {
    const [item] = window.chat.conversation('nobody').outbox;

    window.chat.retry('nobody', item);

    return item.state;
  }), 'pending');
  await eventually(async () => (await fate())[0][0] === 'failed', 'again');
});


test('a failed password change does not end the session',
     async () => {
  const found = await library(alice);

  await call(found, 'start');

  const wrong = await call(found, 'changePassword', 'wrong', 'long enough');

  assert.equal(wrong.status, 403);
  assert.equal(wrong.message, 'Wrong password.');
  assert.equal((await call(found, 'changePassword', alice.password, 'short'))
    .status, 400);
  assert.deepEqual(await call(found, 'changePassword', alice.password,
                              alice.password), NOTHING);
  assert.deepEqual(await happened(found, 'ended'), []);
});


test('stop() and logout() end all activity', async () => {
  for (const leave of ['stop', 'logout']) {
    const found = await visit('/login/');

    // a separate session, since one of these ends it
    await login(found, carol);
    await found.waitForSelector('#me');
    await found.close();

    const own = await found.context().newPage();
    const asked = [];

    await allow(own);
    await own.route('**/own.html', (route) => route.fulfill({
      contentType: 'text/html',
      body: EMPTY,
    }));
    await own.goto(`${url}/own.html`);
    await own.evaluate(async () => {
      const { Chat } = await import('/static/chat.js');

      window.states = [];
      window.chat = new Chat();
      window.chat.addEventListener('state', () => {
        window.states.push(window.chat.state);
      });
      window.chat.addEventListener('ended', () => window.states.push('ended'));
      await window.chat.start();
    });
    await online(own);

    // at once: the second check after connecting is still pending
    await own.evaluate((leave) => window.chat[leave](), leave);

    own.on('request', (request) => asked.push(request.url()));
    own.on('websocket', (socket) => asked.push(socket.url()));

    // all events that would wake it up
    await own.evaluate(() => {
      window.dispatchEvent(new Event('offline'));
      window.dispatchEvent(new Event('online'));
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await own.waitForTimeout(2500);

    assert.deepEqual(asked, [], `nothing is requested after ${leave}()`);
    assert.deepEqual(await own.evaluate(() => window.states.slice(-2)),
                     ['online', 'stopped'], leave);
    assert.deepEqual(await own.evaluate(() => window.states
      .filter((state) => state === 'ended')), [], 'which is no end by others');
    assert.equal((await own.request.get(`${url}/api/v1/session/`)).status(),
                 leave === 'stop' ? 200 : 403, 'the session');
  }
});


test('a session that ends elsewhere causes an event', async () => {
  const found = await library(alice);

  await call(found, 'start');
  await online(found);

  // as if another page had logged out
  await found.context().clearCookies();
  assert.equal((await call(found, 'catchUp')).status, 403);
  assert.equal((await happened(found, 'ended')).length, 1);
  assert.equal(await found.evaluate(() => window.chat.state), 'stopped');
});


test('an error has a message', async () => {
  const found = await library(alice);

  assert.deepEqual(await found.evaluate(() => [
    new window.ChatError(0), new window.ChatError(429, null, 7),
    new window.ChatError(400, { body: ['Too bad.'] }),
    new window.ChatError(404, { detail: 'Not found.' }),
    new window.ChatError(503),
  ].map((error) => [error instanceof Error, error.message, error.status,
                    error.retryAfter, error.passing])), [
    [true, 'The server cannot be reached.', 0, 0, true],
    [true, 'Too many tries. Please wait 7 seconds.', 429, 7, true],
    [true, 'Too bad.', 400, 0, false],
    [true, 'Not found.', 404, 0, false],
    [true, 'The server is not ready at the moment.', 503, 0, true],
  ]);
});


test('a late response of a lost connection is ignored',
     async () => {
  const found = await library(alice);
  let held = null;

  await found.evaluate(() => {
    window.sockets = [];
    window.WebSocket = class {
      constructor() {
        window.sockets.push(this);
      }

      close() {
        this.closed = true;
      }
    };
  });
  await call(found, 'start');

  const sockets = () => found.evaluate(() => window.sockets
    .map(({ closed }) => closed ?? false));
  const socket = (event) => found.evaluate((event) => {
    window.sockets.at(-1)[event]();
  }, event);
  const state = () => found.evaluate(() => window.chat.state);

  /* The connection is lost during catching up; the next one is already open. */
  const answerLate = async (end) => {
    const count = (await sockets()).length;

    held = null;
    await found.route('**/api/v1/message/?after=*', (route) => {
      held = route;
    }, { times: 1 });
    await socket('onopen');
    await eventually(() => held, 'it catches up');
    await socket('onclose');
    assert.equal(await state(), 'lost');
    await eventually(async () => (await sockets()).length > count, 'again');

    const answered = found.waitForEvent(end === 'abort' ? 'requestfailed'
                                                        : 'requestfinished');

    await held[end]();
    await answered;
    await found.waitForTimeout(300);
  };

  await answerLate('continue');
  assert.equal(await state(), 'lost', 'no socket is open');

  await socket('onopen');
  await online(found);
  await socket('onclose');
  await eventually(async () => !(await sockets()).at(-1), 'a new one');

  await answerLate('abort');
  assert.equal((await sockets()).at(-1), false, 'the new socket is kept');
  await socket('onopen');
  await online(found);
});


for (const [retryAfter, seconds] of [['Wed, 21 Oct 2065 07:28:00 GMT', 0],
                                     ['7', 7]])
{
  for (const body of ['{"detail":"Later."}', '<p>Later.</p>']) {
    test(`"Retry-After: ${retryAfter}" with ${body} means ${seconds} s`,
         async () => {
      const found = await library(alice);

      await found.route('**/api/v1/session/?*', (route) => route.fulfill({
        status: 503,
        headers: { 'Retry-After': retryAfter },
        body,
      }));

      const error = await call(found, 'start');

      assert.equal(error.status, 503);
      assert.equal(error.retryAfter, seconds);
    });
  }
}

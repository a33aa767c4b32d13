/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The client library at /events: messages, changes, read marks, typing, blocks,
 * and the calls that cause them.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, message, talk, words, write }
  from './helpers.mjs';
import { call, happened, library, online } from './library.mjs';

const LIMIT = 60e3;


/** A library that is online. */
async function started(person) {
  const found = await library(person);

  assert.deepEqual(await call(found, 'start'), { value: undefined });
  await online(found);

  return found;
}


/** Sends a text and returns the stored message. */
async function sent(found, { name }, text, options = {}) {
  await found.evaluate(([user, text, options]) => {
    window.chat.send(user, text, options);
  }, [name, text, options]);

  return found.evaluate(async ([user, text]) => {
    const conversation = () => window.chat.conversation(user);

    for (let i = 0; conversation().outbox.length && i < 200; i++) {
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }

    return conversation().last.body === text && conversation().last;
  }, [name, text]);
}


/** Returns members of a conversation, those that JSON can express. */
function conversation(found, { name }) {
  return found.evaluate((user) => {
    const { messages, last, unread, readId, peerReadId, typing, blocked } =
      window.chat.conversation(user);

    return { messages, last, unread, readId, peerReadId, typing, blocked };
  }, name);
}


function becomes(found, person, check, what) {
  return eventually(async () => check(await conversation(found, person)), what,
                    LIMIT);
}


function arrived(found, person, text) {
  return becomes(found, person, ({ last }) => last?.body === text,
                 `"${text}" has arrived`);
}


test('a message arrives with its event and is not fetched', async () => {
  const here = await started(alice);
  const there = await started(bob);
  const asked = [];
  const text = words();

  there.on('request', (request) => asked.push(request.url()));
  await sent(here, bob, text);
  await arrived(there, alice, text);
  assert.deepEqual(asked.filter((url) => /message\/\d+/.test(url)), []);
  assert.equal((await happened(there, 'message')).length, 1);
});


test('a server without events is used with hints', async () => {
  const there = await library(bob);
  const here = await started(alice);
  const text = words();

  await there.route('**/events', (route) => route.fulfill({ status: 404 }));
  await there.evaluate(() => {
    const { WebSocket } = window;

    window.sockets = [];
    window.WebSocket = class extends WebSocket {
      constructor(url) {
        super(url.replace(/events$/, 'nothing'));
        window.sockets.push(url.replace(/.*\//, ''));
      }
    };
  });
  await call(there, 'start');
  await online(there);
  assert.deepEqual(await there.evaluate(() => window.sockets),
                   ['events', 'ws']);
  await sent(here, bob, text);
  await arrived(there, alice, text);
  assert.equal((await happened(there, 'message')).length, 1);
});


test('an edit changes the message for both users', async () => {
  const here = await started(alice);
  const there = await started(bob);
  const [first, second, third] = [words('1'), words('2'), words('3')];
  const written = await sent(here, bob, first);

  await arrived(there, alice, first);
  await call(there, 'older', alice.name);

  const { value } = await call(here, 'edit', written, second);

  assert.equal(value.body, second);
  assert.equal(value.id, written.id);
  assert.equal(typeof value.edited_at, 'string');
  await arrived(there, alice, second);

  const { messages, unread } = await conversation(there, alice);

  assert.equal(messages.at(-1).body, second);
  assert.equal(messages.at(-1).edited_at, value.edited_at);
  assert.ok(messages.every(({ body }) => body !== first));
  assert.ok(unread > 0, 'it remains unread');
  assert.equal((await happened(there, 'edited')).length, 1, 'reported once');
  assert.equal((await happened(here, 'edited')).length, 1);

  // missed while offline
  await there.context().setOffline(true);
  await call(here, 'edit', written, third);
  await there.context().setOffline(false);
  await arrived(there, alice, third);
  assert.equal((await conversation(there, alice)).messages.at(-1).body, third);
});


test('a deleted message disappears for both users', async () => {
  const here = await started(alice);
  const there = await started(bob);
  const texts = [words('kept'), words('deleted'), words('missed')];
  const written = [];

  for (const text of texts) {
    written.push(await sent(here, bob, text));
  }

  await arrived(there, alice, texts[2]);
  await call(there, 'older', alice.name);

  const { unread } = await conversation(there, alice);

  // the latest one, while the other user is offline
  await there.context().setOffline(true);
  assert.deepEqual(await call(here, 'remove', written[2]),
                   { value: undefined });
  await there.context().setOffline(false);
  await arrived(there, alice, texts[1]);

  await call(here, 'remove', written[1]);
  await arrived(there, alice, texts[0]);
  await arrived(here, bob, texts[0]);
  await becomes(there, alice, (now) => now.unread === unread - 2, 'unread');
  assert.equal((await happened(there, 'deleted')).length, 2);

  const bodies = (await conversation(there, alice)).messages
    .map(({ body }) => body);

  assert.equal(bodies.at(-1), texts[0]);
  assert.ok(!bodies.includes(texts[1]) && !bodies.includes(texts[2]));

  // nothing is left in the history, and a repetition succeeds
  const other = await started(bob);

  await call(other, 'older', alice.name);
  assert.deepEqual((await conversation(other, alice)).messages
    .map(({ body }) => body).slice(-1), [texts[0]]);
  assert.deepEqual(await call(other, 'remove', written[1]),
                   { value: undefined });
});


test('the last message is known after a deletion in a closed conversation',
     async () => {
  const here = await started(alice);
  const there = await started(bob);
  const [first, second] = [words('1'), words('2')];

  await sent(here, bob, first);

  const written = await sent(here, bob, second);

  await arrived(there, alice, second);
  await call(here, 'remove', written);
  await arrived(there, alice, first);
  await arrived(here, bob, first);
});


test('the sender learns that a message has been read', async () => {
  const here = await started(alice);
  const there = await started(bob);
  const also = await started(bob);
  const text = words();
  const { id } = await sent(here, bob, text);

  await arrived(there, alice, text);
  await arrived(also, alice, text);
  assert.ok((await conversation(here, bob)).peerReadId < id);

  await call(there, 'markRead', alice.name);
  await becomes(here, bob, ({ peerReadId }) => peerReadId === id, 'read');

  // and the other windows of the reader
  await becomes(also, alice, ({ unread, readId }) => !unread && readId === id,
                'read in the other window');

  const later = await started(alice);

  assert.equal((await conversation(later, bob)).peerReadId, id);
});


test('typing is shown for a few seconds, or until a message arrives',
     async () => {
  const here = await started(alice);
  const there = await started(bob);
  const text = words();
  const asked = [];

  here.on('request', (request) => {
    if (request.url().includes('/typing/')) {
      asked.push(request.url());
    }
  });

  for (let i = 0; i < 5; i++) {
    await call(here, 'typing', bob.name);
  }

  assert.equal(asked.length, 1, 'one request');
  await becomes(there, alice, ({ typing }) => typing, 'typing');
  await becomes(there, alice, ({ typing }) => !typing, 'it ends');

  await call(here, 'typing', bob.name);
  await becomes(there, alice, ({ typing }) => typing, 'typing again');
  await sent(here, bob, text);
  await arrived(there, alice, text);
  assert.equal((await conversation(there, alice)).typing, false);
});


test('a reply names the original, which can be loaded', async () => {
  const here = await started(alice);
  const there = await started(bob);
  const [question, answer] = [words('Question'), words('Answer')];
  const { id } = await sent(here, bob, question);

  await arrived(there, alice, question);

  const reply = await sent(there, alice, answer, { replyTo: id });

  assert.equal(reply.reply_to, id);
  await arrived(here, bob, answer);

  const original = () => here.evaluate(([user, id]) => {
    const found = window.chat.original(user, id);

    return found && found.body;
  }, [bob.name, id]);

  await eventually(async () => await original() === question, 'loaded', LIMIT);
  await call(here, 'edit', { id }, `${question}!`);
  await eventually(async () => await original() === `${question}!`, 'edited');
  await call(here, 'remove', { id, user: alice.name, recipient: bob.name });
  assert.equal(await original(), null);

  // the server rejects a reply to it
  await there.evaluate(([user, id]) => {
    window.chat.send(user, 'late', { replyTo: id });
  }, [alice.name, id]);
  await eventually(() => there.evaluate((user) => window.chat.conversation(user)
    .outbox[0]?.error?.message === 'No such message in this conversation.',
  alice.name), 'refused', LIMIT);
});


test('messages are found, and loaded up to the found one', async () => {
  const here = await started(carol);
  const word = words('needle').replace(' ', '');
  const first = await sent(here, alice, `Where is the ${word}?`);

  for (let i = 0; i < 20; i++) {
    await sent(here, alice, `straw ${i}`);
  }

  await sent(here, bob, word.toUpperCase());

  const found = await started(carol);
  const search = async (...values) => (await call(found, 'search', ...values))
    .value.results.map(({ recipient, id }) => [recipient, id]);

  assert.equal((await search(word)).length, 2);
  assert.deepEqual(await search(word, { user: alice.name }),
                   [[alice.name, first.id]]);
  assert.deepEqual(await search(`${word}%`), []);

  const { value } = await call(found, 'find', alice.name, first.id);

  assert.equal(value.body, first.body);

  const { messages } = await conversation(found, alice);

  assert.ok(messages.some(({ id }) => id === first.id));
  assert.ok(messages.length > 20, 'without gaps');
});


test('a block refuses messages in both directions', async () => {
  const here = await started(alice);
  const there = await started(carol);
  const fault = (found, { name }) => eventually(() => found.evaluate((user) =>
    window.chat.conversation(user).outbox.at(-1)?.error?.message, name),
                                                'refused', LIMIT);
  const attempt = async (found, { name }) => {
    await found.evaluate((user) => { window.chat.send(user, 'refused'); }, name);
    await fault(found, { name });

    return found.evaluate((user) => {
      const item = window.chat.conversation(user).outbox.at(-1);

      window.chat.withdraw(user, item);
      window.chat.withdraw(user, item);

      return item.error.message;
    }, name);
  };

  try {
    assert.deepEqual(await call(here, 'block', carol.name),
                     { value: undefined });
    assert.equal((await conversation(here, carol)).blocked, true);
    assert.equal(await attempt(there, alice),
                 'This person does not accept messages from you.');
    assert.equal(await attempt(here, carol), 'You have blocked this person.');

    for (const found of [here, there]) {
      assert.equal(await found.evaluate(() => window.chat.state), 'online');
      assert.deepEqual(await happened(found, 'ended'), []);
    }

    const other = await started(alice);
    const { value } = await call(other, 'blocked');

    assert.deepEqual(value.map(({ username }) => username), [carol.name]);
    assert.equal((await conversation(other, carol)).blocked, true);
    assert.equal((await call(here, 'block', 'nobody')).status, 404);

  } finally {
    await call(here, 'unblock', carol.name);
  }

  assert.equal((await conversation(here, carol)).blocked, false);

  const text = words();

  assert.ok(await sent(there, alice, text));
  await arrived(here, carol, text);
});


test('only the sender can change a message, and the session continues',
     async () => {
  const here = await started(alice);
  const there = await started(bob);
  const written = await sent(here, bob, words());

  for (const values of [['edit', written, 'changed'], ['remove', written]]) {
    const error = await call(there, ...values);

    assert.equal(error.status, 403);
    assert.equal(error.message, 'Only the sender can change a message.');
  }

  assert.equal(await there.evaluate(() => window.chat.state), 'online');
});


/** A library with a socket that the test controls. */
async function controlled(person) {
  const found = await library(person);

  await found.evaluate(() => {
    window.WebSocket = class {
      constructor() {
        window.socket = this;
        setTimeout(() => this.onopen());
      }

      close() {}
    };
    window.receive = (event) => window.socket.onmessage({
      data: typeof event === 'string' ? event : JSON.stringify(event),
    });
  });
  await call(found, 'start');
  await online(found);

  return found;
}


function receive(found, ...events) {
  return found.evaluate((events) => { events.forEach(window.receive); }, events);
}


test('resync causes a catch-up', async () => {
  const found = await controlled(alice);
  const there = await talk(bob, alice);
  const text = words();

  await write(there, text);
  await message(there, text, 'sent');
  await receive(found, { type: 'resync' });
  await arrived(found, bob, text);
});


test('presence is copied from events, and may be absent', async () => {
  const found = await controlled(alice);
  const presence = () => found.evaluate((user) => {
    const { online, lastSeenAt } = window.chat.conversation(user);

    return [online, lastSeenAt];
  }, bob.name);
  const at = '2026-01-02T03:04:05.000006Z';

  await receive(found, { type: 'presence', user: bob.name, online: true,
                         last_seen_at: null });
  assert.deepEqual(await presence(), [true, null]);
  await receive(found, { type: 'presence', user: bob.name, online: false,
                         last_seen_at: at });
  assert.deepEqual(await presence(), [false, at]);
  assert.ok((await call(found, 'people')).value.results.length > 0);
});


test('unknown events and members are ignored', async () => {
  const found = await controlled(alice);

  await receive(found, '', '{', 'null', '[]', '"text"', { type: 'new' },
                { type: 'toString' }, { type: 'typing', user: bob.name, more: 1 });
  await becomes(found, bob, ({ typing }) => typing, 'the last one is handled');
  assert.equal(await found.evaluate(() => window.chat.state), 'online');
});


for (const event of [
  { type: 'message', message: { id: 1e9, user: 'bob', recipient: 'carol',
                                body: 'secret' } },
  { type: 'deleted', message_id: 1e9, user: 'bob', recipient: 'carol' },
  { type: 'read', reader: 'bob', sender: 'carol', id: 1e9 },
]) {
  test(`a "${event.type}" event of another user ends the page`, async () => {
    const found = await controlled(alice);

    await found.evaluate(() => {
      window.chat.addEventListener('replaced', () => window.events.push(['no']));
    });
    await receive(found, event);
    assert.equal((await happened(found, 'no')).length, 1);
    assert.equal(await found.evaluate(() => window.chat.state), 'stopped');
    assert.deepEqual(await happened(found, 'message'), []);
  });
}


test('a late page does not restore earlier states', async () => {
  const found = await controlled(alice);
  const there = await started(bob);
  const [edited, deleted] = [words('edited'), words('deleted')];
  const [one, two] = [await sent(there, alice, edited),
                      await sent(there, alice, deleted)];
  let release;

  await found.route('**/api/v1/message/?*before=*', async (route) => {
    const response = await route.fetch();

    await new Promise((resolve) => { release = resolve; });
    await route.fulfill({ response });
  });

  const page = call(found, 'older', bob.name);

  await eventually(() => release, 'the page has been read', LIMIT);
  await receive(found, { type: 'edited', message: {
    ...one, body: 'new', edited_at: '2099-01-01T00:00:00.000000Z',
  } }, { type: 'deleted', message_id: two.id, user: bob.name,
         recipient: alice.name });
  release();
  await page;

  const { messages } = await conversation(found, bob);

  assert.equal(messages.find(({ id }) => id === one.id).body, 'new');
  assert.ok(!messages.some(({ id }) => id === two.id));

  // nor does a late event
  await receive(found, { type: 'edited', message: {
    ...one, body: 'old', edited_at: '2026-01-01T00:00:00.000000Z',
  } }, { type: 'message', message: two });
  assert.deepEqual((await conversation(found, bob)).messages, messages);
});

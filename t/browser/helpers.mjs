/*
 * Copyright (C) ngx_chat contributors
 */

/* Common parts of the browser tests: site.mjs, and checks after each test. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, afterEach } from 'node:test';
import { browser, faults, open } from './site.mjs';

export * from './site.mjs';

after(() => browser.close());


/* No page requests other hosts, violates its policy or throws. */
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  assert.deepEqual(faults.splice(0), []);
});


/** Marks messages of earlier tests as read. */
export async function readAll(reader) {
  const page = await open(reader);

  await page.evaluate(async () => {
    const response = await fetch('/api/v1/conversation/');
    const { results } = await response.json();

    for (const { user, last_message: last } of results) {
      await fetch(`/api/v1/conversation/${user}/read`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ id: last.id }),
      });
    }
  });
  await page.context().close();
}


/** Runs statements in the database of the site; requires CHAT_DEV. */
export function sql(statements) {
  return execFileSync('mariadb', [
    `--defaults-file=${process.env.CHAT_RUN}/chatctl.cnf`,
    '--default-character-set=utf8mb4',
    '--skip-column-names',
    'chat',
  ], { input: statements, encoding: 'utf8' });
}

/*
 * Copyright (C) ngx_chat contributors
 */

/* What the browser tests share: site.mjs, and what holds for every test. */

import assert from 'node:assert/strict';
import { after, afterEach } from 'node:test';
import { browser, faults } from './site.mjs';

export * from './site.mjs';

after(() => browser.close());


/* No page may leave the host, break its own policy or throw. */
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  assert.deepEqual(faults.splice(0), []);
});

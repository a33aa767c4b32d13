/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * sharding.mjs scaling.md <statements: compares the table "Sharding" with the
 * statements that statements.c prints, using a parser of MySQL's dialect.
 *
 * For each statement, the table contains its tables and the shards to query:
 *
 *   any        no table
 *   undivided  no divided table
 *   one        each divided table is restricted to the same pair, by "=" in
 *              WHERE or ON of its SELECT, or rows are inserted with their pair
 *   all        a divided table is not restricted to a pair
 *   no key     rows are inserted without their pair
 *
 * A query type has a row for each different result, and a single row for all of
 * its undivided statements.
 */

import { readFileSync } from 'node:fs';

import mysql from 'node-sql-parser/build/mysql.js';

const file = process.argv[2];
const key = ['lo_id', 'hi_id'];
const divided = new Set(['chat_message', 'chat_conversation', 'chat_writing']);
const parser = new mysql.Parser();
let faults = 0;


function fault(text) {
  console.log(text);
  faults++;
}


// --- statements

/*
 * Each server ignores the comments for the other one.  The parser does not
 * support hints, which do not change the rows, nor statements without tables.
 */

const families = [
  (sql) => sql.replace(/\/\*!80000 (.*?)\*\//g, '')
    .replace(/\/\*M!(?:\d{6})?(.*?)\*\//g, '$1')
    .replace(/SET STATEMENT .*? FOR /g, ''),
  (sql) => sql.replace(/\/\*M!.*?\*\//g, '')
    .replace(/\/\*!80000 (.*?)\*\//g, '$1'),
];


function* statements(packet) {
  for (const family of families) {
    for (const part of family(packet).split(';')) {
      const sql = part.trim()
        .replace(/ FORCE INDEX \(\w+\)/g, '')
        .replace(/\bSELECT (\/\*\+.*?\*\/ )?STRAIGHT_JOIN\b/g, 'SELECT')
        .replace(/\bSTRAIGHT_JOIN\b/g, 'JOIN')
        .replace(/@\w+ := /g, '');

      if (sql && !/^(?:START |COMMIT$|SET TRANSACTION |SHOW )/.test(sql)) {
        yield sql;
      }
    }
  }
}


// --- scopes

/* the parts of a statement that have tables and conditions */

function* scopes(node) {
  if (node === null || typeof node !== 'object') {
    return;
  }

  if (['select', 'update', 'delete', 'insert'].includes(node.type)) {
    yield node;
  }

  for (const value of Object.values(node)) {
    yield* scopes(value);
  }
}


function list(value) {
  return value ? [value].flat() : [];
}


/* the tables of a scope, as { table, as } */

function tables(scope) {
  const named = scope.type === 'delete' || scope.type === 'select'
    ? list(scope.from) : [...list(scope.table), ...list(scope.from)];

  return named.filter(({ table }) => table);
}


/* the columns that "=" restricts to a constant: alias, column, constant */

function* held(node) {
  if (!node) {
    return;
  }

  if (node.type === 'binary_expr' && node.operator === 'AND') {
    yield* held(node.left);
    yield* held(node.right);
  }

  if (node.type === 'binary_expr' && node.operator === '='
      && node.left.type === 'column_ref'
      && ['number', 'var'].includes(node.right.type)) {
    yield [node.left.table, node.left.column,
           node.right.value ?? node.right.name];
  }
}


/* the pair that a table is restricted to, or null */

function pair(scope, { as, table }, alone) {
  const name = as ?? table;
  const conditions = [scope.where, ...list(scope.from).map(({ on }) => on)];
  const values = {};

  for (const condition of conditions) {
    for (const [alias, column, value] of held(condition)) {
      if (alias === name || (!alias && alone)) {
        values[column] = value;
      }
    }
  }

  return key.every((column) => column in values)
    ? key.map((column) => values[column]).join() : null;
}


/* the tables of a statement, and the shards to query */

function judge(sql) {
  const ast = parser.astify(sql, { database: 'MySQL' });
  const found = new Set();
  const pairs = new Set();
  let shards = 'any';

  for (const scope of scopes(ast)) {
    const here = tables(scope);

    for (const entry of here) {
      found.add(entry.table);

      if (!divided.has(entry.table)) {
        continue;
      }

      if (scope.type === 'insert') {
        if (!key.every((column) => scope.columns.includes(column))) {
          shards = 'no key';
        }

        pairs.add('inserted');
        continue;
      }

      pairs.add(pair(scope, entry, here.length === 1));
    }
  }

  if (shards === 'any' && found.size) {
    shards = pairs.size === 0 ? 'undivided'
      : pairs.size === 1 && !pairs.has(null) ? 'one' : 'all';
  }

  return [[...found], shards];
}


function row(names, shards) {
  const short = [...names].map((name) => name.replace('chat_', '')).sort();

  return `${short.join(', ') || 'none'} | ${shards}`;
}


/* the expected rows of a query type */

function judged(packets) {
  const rows = new Set();
  const undivided = new Set();

  for (const sql of packets.flatMap((packet) => [...statements(packet)])) {
    const [names, shards] = judge(sql);

    if (shards === 'undivided') {
      names.forEach((name) => undivided.add(name));
    } else {
      rows.add(row(names, shards));
    }
  }

  return undivided.size ? rows.add(row(undivided, 'undivided')) : rows;
}


// --- comparison

const packets = new Map();

for (const line of readFileSync(0, 'utf8').trim().split('\n')) {
  const [name, packet] = line.split('\t');

  packets.set(name, [...packets.get(name) ?? [], packet]);
}

const said = new Map();
const lines = readFileSync(file, 'utf8').match(/^\| `.*\|$/gm) ?? [];

for (const line of lines) {
  const [, first, names, shards] = line.split('|').map((cell) => cell.trim());
  const name = first.match(/`([^`]*)`/)[1];

  said.set(name, [...said.get(name) ?? [], `${names} | ${shards}`]);
}

for (const [name, all] of packets) {
  const rows = judged(all);

  if (rows.size === 0) {
    fault(`t/lint/statements.c prints no statement of ${name}`);
  }

  for (const one of rows) {
    if (!said.get(name)?.includes(one)) {
      fault(`${file} has no row of ${name} with: ${one}`);
    }
  }

  for (const claim of said.get(name) ?? []) {
    if (!rows.has(claim)) {
      fault(`${file} has a wrong row of ${name}: ${claim}`);
    }
  }
}

for (const name of said.keys()) {
  if (!packets.has(name)) {
    fault(`${file} has a row of ${name}, which does not exist`);
  }
}

process.exit(faults ? 1 : 0);

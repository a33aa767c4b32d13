/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * openapi.mjs openapi.yaml ngx_chat_api.c: checks that the description is valid
 * and strict, has no unused parts, and contains the routes of the module.  The
 * tests compare it with responses.
 */

import { readFileSync } from 'node:fs';

import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv/dist/2020.js';

const [file, routes] = process.argv.slice(2);
const methods = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options'];
let faults = 0;


function fault(text) {
  console.log(`${file}: ${text}`);
  faults++;
}


const validator = new Validator();
const { valid, errors } = await validator.validate(file);

if (!valid) {
  fault(JSON.stringify(errors, null, 2));
  process.exit(1);
}

const doc = validator.specification;
const paths = Object.entries(doc.paths);
const operations = paths.flatMap(([path, item]) => methods
  .filter((method) => item[method])
  .map((method) => ({ path, item, method, operation: item[method] })));


// ---- schemas: strict, to detect misspelt keywords; with valid examples

const ajv = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true,
                      strictRequired: true, validateFormats: false,
                      formats: { int64: true } });

ajv.addSchema({ $id: 'doc', ...doc }, 'doc', false, false);
ajv.addVocabulary(Object.keys(doc));

/* Calls `call` with each schema below `node` and its path. */
function schemas(node, where, call) {
  if (typeof node !== 'object' || node === null) {
    return;
  }

  for (const [key, value] of Object.entries(node)) {
    const place = `${where}/${key.replace(/~/g, '~0').replace(/\//g, '~1')}`;

    if (key === 'schema' || where === '#/components/schemas') {
      call(value, place);

    } else {
      schemas(value, place, call);
    }
  }
}

/* Objects in responses have no other members. */
function open(schema, where) {
  if (typeof schema !== 'object' || schema === null) {
    return;
  }

  if (schema.type === 'object' && schema.additionalProperties !== false) {
    fault(`${where} allows other properties`);
  }

  for (const [key, value] of Object.entries(schema)) {
    open(value, `${where}/${key}`);
  }
}

schemas(doc, '#', (schema, where) => {
  try {
    const validate = ajv.compile({ $ref: `doc${encodeURI(where)}` });

    for (const example of schema.examples ?? []) {
      if (!validate(example)) {
        fault(`an example of ${where}: ${ajv.errorsText(validate.errors)}`);
      }
    }

  } catch (error) {
    fault(`${where}: ${error.message}`);
  }

  // requests may have other fields
  if (!/\/(New\w+|LogInForm)$/.test(where)) {
    open(schema, where);
  }
});


// ---- components are used, ids are unique

const text = JSON.stringify(doc);

for (const [kind, all] of Object.entries(doc.components)) {
  for (const name of Object.keys(all)) {
    const used = kind === 'securitySchemes'
      ? doc.security.some((scheme) => name in scheme)
      : text.includes(`"#/components/${kind}/${name}"`);

    // the text may mention a component that no operation uses
    if (!used && !doc.info.description.includes(`\`${name}\``)) {
      fault(`${kind} ${name} is unused`);
    }
  }
}

const ids = operations.map(({ operation }) => operation.operationId);
const tags = doc.tags.map(({ name }) => name);

for (const { path, method, item, operation } of operations) {
  const where = `${method} ${path}`;
  const { operationId, tags: [tag, ...more] = [], responses } = operation;

  if (!operationId || ids.filter((id) => id === operationId).length > 1) {
    fault(`${where} has no unique operationId`);
  }

  if (!tags.includes(tag) || more.length > 0) {
    fault(`${where} must have one of the tags`);
  }

  // HEAD is GET without a body
  if (method === 'head') {
    const { parameters, responses: ofGet } = item.get;

    if (JSON.stringify([parameters, ofGet])
        !== JSON.stringify([operation.parameters, responses]))
    {
      fault(`${where} differs from GET`);
    }
  }

  // the parameters of the path
  const names = [...item.parameters ?? [], ...operation.parameters ?? []]
    .map(({ $ref, ...own }) => $ref
      ? doc.components.parameters[$ref.split('/').at(-1)] : own)
    .filter(({ in: place }) => place === 'path')
    .map(({ name }) => name);

  if (names.join() !== [...path.matchAll(/\{(\w+)\}/g)]
    .map(([, name]) => name).join())
  {
    fault(`${where} has other parameters than its path`);
  }
}


// ---- the routes of the module, and their methods

const rows = [...readFileSync(routes, 'utf8').matchAll(
  /\{ (\.path = ngx_string\([^}]*)\}/g)].map(([, row]) => {
  const value = (name) => row.match(new RegExp(
    `\\.${name} = (?:ngx_string\\()?"?([^",)]*(?:, [^",)]+)*)`))?.[1];

  const item = { undefined: '', NGX_CHAT_PATH_ID: '{id}/',
                 NGX_CHAT_PATH_FILE: '{file}/{filename}',
                 NGX_CHAT_PATH_NAME: `{name}/${value('tail') ?? ''}` }[value('kind')];
  const handled = ['get', 'post', 'put', 'patch', 'delete'].filter(value);
  const allowed = [...handled, ...value('get') ? ['head'] : [], 'options'];

  return {
    path: `/api/v1/${value('path')}${item}`,
    allow: allowed.join(', ').toUpperCase(),
    title: value('title'),
    methods: allowed.sort().join(),
  };
});

if (rows.length < 9) {
  fault(`${routes} has no routing table`);
}

for (const { path, allow, title, methods: wanted } of rows) {
  const item = doc.paths[path];
  const got = methods.filter((method) => item?.[method]).sort().join();

  if (got !== wanted) {
    fault(`${path} has the methods "${got}", not "${wanted}"`);
  }

  if (item?.['x-allow'] !== allow) {
    fault(`${path} must have the x-allow "${allow}"`);
  }

  if (!doc.components.schemas.Resource.properties.name.enum.includes(title)) {
    fault(`the title "${title}" is missing`);
  }
}

for (const [path] of paths) {
  if (path.startsWith('/api/') && !rows.some((row) => row.path === path)) {
    fault(`the module has no route ${path}`);
  }
}

process.exit(faults ? 1 : 0);

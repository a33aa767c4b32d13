/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * openapi.mjs openapi.yaml ngx_chat_api.c: the description is valid, strict,
 * complete in itself, and has the routes that there are.  Whether it is true
 * the tests tell.
 */

import { readFileSync } from 'node:fs';

import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv/dist/2020.js';

const [file, routes] = process.argv.slice(2);
const methods = ['get', 'post', 'delete', 'head', 'options'];
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


// ---- schemas: strict, so that no keyword is misspelt; their examples fit

const ajv = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true,
                      strictRequired: true, validateFormats: false,
                      formats: { int64: true } });

ajv.addSchema({ $id: 'doc', ...doc }, 'doc', false, false);
ajv.addVocabulary(Object.keys(doc));

/* Calls back with each schema below `node`, and where it is. */
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

/* Objects of answers have the members that are named, and no other. */
function open(schema, where) {
  if (typeof schema !== 'object' || schema === null) {
    return;
  }

  if (schema.type === 'object' && schema.additionalProperties !== false) {
    fault(`${where} takes any property`);
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
        fault(`an example of ${where} ${ajv.errorsText(validate.errors)}`);
      }
    }

  } catch (error) {
    fault(`${where}: ${error.message}`);
  }

  // what is sent may have more fields
  if (!/\/(New\w+|LogInForm)$/.test(where)) {
    open(schema, where);
  }
});


// ---- what there is, is used, and once

const text = JSON.stringify(doc);

for (const [kind, all] of Object.entries(doc.components)) {
  for (const name of Object.keys(all)) {
    const used = kind === 'securitySchemes'
      ? doc.security.some((scheme) => name in scheme)
      : text.includes(`"#/components/${kind}/${name}"`);

    // for what no operation has; named in the text
    if (!used && !doc.info.description.includes(`\`${name}\``)) {
      fault(`nothing refers to ${kind} ${name}`);
    }
  }
}

const ids = operations.map(({ operation }) => operation.operationId);
const tags = doc.tags.map(({ name }) => name);

for (const { path, method, item, operation } of operations) {
  const where = `${method} ${path}`;
  const { operationId, tags: [tag, ...more] = [], responses } = operation;

  if (!operationId || ids.filter((id) => id === operationId).length > 1) {
    fault(`${where} has no operationId of its own`);
  }

  if (!tags.includes(tag) || more.length > 0) {
    fault(`${where} has not one of the tags`);
  }

  // HEAD is GET without a body
  if (method === 'head') {
    const { parameters, responses: ofGet } = item.get;

    if (JSON.stringify([parameters, ofGet])
        !== JSON.stringify([operation.parameters, responses]))
    {
      fault(`${where} is not as GET`);
    }
  }

  // as the template of the path
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
  /\{ ngx_string\("(.*)"\), ngx_(?:null_string|string\("(.*)"\)), NGX_CHAT_PATH_(\w+),\s+NGX_CHAT_REQUEST_\w+,\s+([^}]*?)ngx_string\("([A-Z, ]+)"\),\s+ngx_string\("(.*)"\)/g)]
  .map(([, path, tail = '', kind, steps, allow, title]) => {
    const item = { PLAIN: '', ID: '{id}/', NAME: `{name}/${tail}` }[kind];
    const [get, post, del] = steps.split(',').map((step) => step.trim());

    return {
      path: `/api/v1/${path}${item}`,
      allow,
      title,
      methods: ['options', ...get === 'NULL' ? [] : ['get', 'head'],
                ...post === 'NULL' ? [] : ['post'],
                ...del === 'NULL' ? [] : ['delete']].sort().join(),
    };
  });

if (rows.length < 9) {
  fault(`${routes} has no table of routes any more`);
}

for (const { path, allow, title, methods: wanted } of rows) {
  const item = doc.paths[path];
  const got = methods.filter((method) => item?.[method]).sort().join();

  if (got !== wanted) {
    fault(`${path} has the methods "${got}", not "${wanted}"`);
  }

  if (item?.['x-allow'] !== allow) {
    fault(`${path} has not the x-allow "${allow}"`);
  }

  if (!doc.components.schemas.Resource.properties.name.enum.includes(title)) {
    fault(`there is no title "${title}"`);
  }
}

for (const [path] of paths) {
  if (path.startsWith('/api/') && !rows.some((row) => row.path === path)) {
    fault(`the module has no ${path}`);
  }
}

process.exit(faults ? 1 : 0);

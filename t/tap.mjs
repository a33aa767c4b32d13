/*
 * Copyright (C) ngx_chat contributors
 */

// Reporter for "node --test": plain TAP, which Perl's harness reads.  Node's
// own "tap" puts YAML between the lines that the harness cannot parse.

export default async function* tap(events) {
    let count = 0;

    for await (const { type, data } of events) {
        if (type !== 'test:pass' && type !== 'test:fail') {
            continue;
        }

        const error = data.details.error;

        // each test counts once: not again for the suite that holds it
        if (data.details.type === 'suite'
            || error?.failureType === 'subtestsFailed')
        {
            continue;
        }

        const name = data.name.replaceAll('#', '');
        const skip = data.skip === undefined ? '' : ` # SKIP ${data.skip}`;

        count++;
        yield `${type === 'test:pass' ? 'ok' : 'not ok'} `
              + `${count} - ${name}${skip}\n`;

        if (type === 'test:fail') {
            const text = String(error?.cause?.stack ?? error?.stack ?? error);
            console.error(`# ${name}\n${text.replace(/^/gm, '#   ')}`);
        }
    }

    yield `1..${count}\n`;
}

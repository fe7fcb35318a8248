'use strict';
/* A transcript that is the same wherever the application runs: no time, no address, no random value. */

const FEATURES = new Set((process.env.SCENARIO_FEATURES || '').split(',').filter(Boolean));

/** Whether statements that need `name` are to be run. */
const feature = (name) => FEATURES.has(name);

/* Moments, random UUIDs and places of rows that a server puts into its texts. */
const CHANCE = /\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d+\+00|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|tuple \(\d+,\d+\)/g;

/** One line. */
function say(what, ...values) {
  console.log(`${what}: ${values.map((value) => JSON.stringify(value).replace(CHANCE, '<chance>')).join(' ')}`);
}

/** An error with all that the server told of it. */
function sayError(what, error) {
  const names = ['code', 'severity', 'message', 'detail', 'hint', 'position', 'where', 'schema', 'table', 'column',
    'dataType', 'constraint'];
  say(what, Object.fromEntries(names.filter((name) => error[name] !== undefined).map((name) => [name, error[name]])));
}

/** Runs what must fail, and says how it failed. */
async function expectError(what, action) {
  try {
    await action();
    say(what, 'no error');
  } catch (error) {
    sayError(what, error);
  }
}

/** Runs each part; what breaks one is a line of the transcript, whose last line is END. */
async function runParts(parts) {
  for (const part of parts) {
    console.log(`== ${part.name}`);
    try {
      await part();
    } catch (error) {
      sayError(`BROKEN ${part.name}`, error);
      console.error(part.name, error);
    }
  }
  console.log('END');
}

module.exports = { feature, say, sayError, expectError, runParts };

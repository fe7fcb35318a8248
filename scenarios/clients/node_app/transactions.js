'use strict';
/* Transactions of several clients: savepoints, locks, queues, isolation, deadlocks, errors, time limits, LISTEN. */

const { setTimeout: sleep } = require('node:timers/promises');
const { expectError, feature, say, sayError } = require('./transcript');
const { inTransaction } = require('./migrations');
const { withClient } = require('./data');

const HEARD_LIMIT_MILLIS = 10000;

async function savepoints(pool) {
  await inTransaction(pool, async (client) => {
    await client.query("INSERT INTO office (city) VALUES ('Turin')");
    for (const city of ['Basel', 'Oslo', 'Linz']) {
      await client.query('SAVEPOINT one');
      try {
        await client.query('INSERT INTO office (city) VALUES ($1)', [city]);
        await client.query('RELEASE SAVEPOINT one');
      } catch (error) {
        sayError(city, error);
        await client.query('ROLLBACK TO SAVEPOINT one');
      }
    }
  });
  await expectError('given up', () => inTransaction(pool, async (client) => {
    await client.query('DELETE FROM letter');
    throw new Error('changed my mind');
  }));
  say('cities', (await pool.query('SELECT city FROM office ORDER BY city')).rows.map((row) => row.city), (await pool.query('SELECT count(*) FROM letter')).rows);
}

/** A queue: workers take rows that nobody else has, until there are none. */
async function queue(pool) {
  await pool.query('CREATE TABLE job (id serial PRIMARY KEY, state text NOT NULL DEFAULT $$new$$, worker int, done_at timestamptz)');
  await pool.query('INSERT INTO job (state) SELECT $1 FROM generate_series(1, 40)', ['new']);
  const worker = async (number) => {
    let taken = 0;
    for (;;) {
      const more = await inTransaction(pool, async (client) => {
        const job = await client.query("SELECT id FROM job WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED");
        if (job.rowCount === 0) return false;
        await client.query("UPDATE job SET state = 'done', worker = $1, done_at = now() WHERE id = $2", [number, job.rows[0].id]);
        return true;
      });
      if (!more) return taken;
      taken += 1;
    }
  };
  const taken = await Promise.all([1, 2, 3].map(worker));
  say('each once', taken.reduce((a, b) => a + b), (await pool.query("SELECT state, count(*), count(done_at) AS at FROM job GROUP BY state")).rows);
  say('taken by a subquery', (await pool.query("UPDATE job SET state = 'again' WHERE id IN (SELECT id FROM job ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED) RETURNING id")).rows.length);
}

async function locks(pool) {
  await withClient(pool, (first) => withClient(pool, async (second) => {
    await first.query('BEGIN');
    await first.query('SELECT * FROM job WHERE id = 1 FOR UPDATE');
    await expectError('nowait', () => second.query('SELECT id FROM job WHERE id = 1 FOR UPDATE NOWAIT'));
    await second.query("SET lock_timeout = '100ms'");
    await expectError('lock timeout', () => second.query("UPDATE job SET state = 'x' WHERE id = 1"));
    await second.query('RESET lock_timeout');
    const waiting = second.query("UPDATE job SET worker = worker + 100 WHERE id = 1 RETURNING state");
    await first.query("UPDATE job SET state = 'mine' WHERE id = 1");
    await first.query('COMMIT');
    say('waited', (await waiting).rows);
  }));
}

/** Two clients lock two rows in opposite order: one of them is told 40P01, and its work can be done again. */
async function deadlock(pool) {
  await withClient(pool, (first) => withClient(pool, async (second) => {
    const lock = (client, id) => client.query("UPDATE job SET state = 'locked' WHERE id = $1", [id]);
    await first.query('BEGIN');
    await second.query('BEGIN');
    await lock(first, 10);
    await lock(second, 11);
    const both = await Promise.allSettled([lock(first, 11), lock(second, 10)]);
    say('codes', both.map((one) => (one.status === 'fulfilled' ? 'done' : one.reason.code)).sort());
    await first.query('ROLLBACK');
    await second.query('ROLLBACK');
  }));
}

async function isolation(pool) {
  for (const level of ['REPEATABLE READ', 'SERIALIZABLE']) {
    await withClient(pool, (first) => withClient(pool, async (second) => {
      for (const client of [first, second]) {
        await client.query(`BEGIN ISOLATION LEVEL ${level}`);
        await client.query('SELECT count(*) FROM job');
      }
      await first.query('UPDATE job SET worker = 7 WHERE id = 20');
      await first.query('COMMIT');
      say(level, (await second.query('SELECT worker FROM job WHERE id = 20')).rows[0].worker === 7);
      await expectError('second writer', () => second.query('UPDATE job SET worker = 8 WHERE id = 20'));
      await second.query('ROLLBACK');
      await first.query('UPDATE job SET worker = 1 WHERE id = 20');
    }));
  }
  await withClient(pool, (first) => withClient(pool, async (second) => {
    for (const client of [first, second]) {
      await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
      await client.query("SELECT sum(worker) FROM job WHERE state = 'again'");
    }
    await first.query("INSERT INTO job (state, worker) VALUES ('again', 1)");
    await second.query("INSERT INTO job (state, worker) VALUES ('again', 1)");
    await first.query('COMMIT');
    const skew = await second.query('COMMIT').catch((error) => error);
    say('write skew', skew.code, skew.message);
    if (feature('details_at_commit')) sayError('write skew', skew);
  }));
  await withClient(pool, async (client) => {
    await client.query('BEGIN READ ONLY');
    await expectError('read only', () => client.query('DELETE FROM job'));
    await client.query('ROLLBACK');
  });
}

async function deferred(pool) {
  await expectError('deferred', () => inTransaction(pool, (client) => client.query('INSERT INTO stamp VALUES (999, 1)')));
  await inTransaction(pool, async (client) => {
    await client.query('INSERT INTO stamp VALUES (500, 1)');
    await client.query("INSERT INTO letter (id, office_id, sender, weight) VALUES (500, 1, 'late', 1)");
  });
  say('stamps', (await pool.query('SELECT * FROM stamp')).rows);
}

async function errors(pool) {
  const cases = [
    ['unique', 'INSERT INTO office (city) VALUES ($1)', ['Oslo']],
    ['foreign key', "INSERT INTO letter (office_id, sender, weight) VALUES ($1, 'x', 1)", [999]],
    ['restricted', 'DELETE FROM letter WHERE id = $1', [500]],
    ['check', "UPDATE letter SET weight = $1 WHERE id = 1", [-1]],
    ['not null', 'INSERT INTO office (city) VALUES ($1)', [null]],
    ['bad enum', 'UPDATE letter SET state = $1 WHERE id = 1', ['lost']],
    ['bad number', 'SELECT $1::int', ['x']],
    ['bad json', 'SELECT $1::jsonb', ['{']],
    ['too many parameters', 'SELECT $1::int', [1, 2]],
    ['no parameter', 'SELECT $1::int + $2::int', [1]],
    ['no column', 'SELECT nope FROM office', []],
    ['no function', 'SELECT nope(1)', []],
    ['division', 'SELECT 1 / $1::int', [0]],
  ];
  if (feature('generated_assigned')) cases.push(['generated', 'UPDATE letter SET heavy = true', []]);
  for (const [what, text, values] of cases) await expectError(what, () => pool.query(text, values));
  await expectError('syntax', () => pool.query('SELEC 1'));
  await expectError('time-out', () => withClient(pool, async (client) => {
    await client.query("SET statement_timeout = '100ms'");
    try {
      await client.query('SELECT pg_sleep(20)');
    } finally {
      await client.query('RESET statement_timeout');
    }
  }));
  await expectError('aborted', () => inTransaction(pool, async (client) => {
    await expectError('first', () => client.query('SELECT 1/0'));
    await client.query('SELECT 1');
  }));
  await expectError('COMMIT of what is aborted', () => withClient(pool, async (client) => {
    await client.query('BEGIN');
    await client.query('INSERT INTO office (city) VALUES ($1)', ['Oslo']).catch(() => {});
    say('COMMIT', (await client.query('COMMIT')).command);
  }));
}

async function writes(pool) {
  const upsert = 'INSERT INTO office (id, city) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET city = excluded.city RETURNING id, city, (xmax = 0) AS fresh';
  say('upsert', (await pool.query(upsert, [1, 'Brno!'])).rows, (await pool.query(upsert, [1000, 'New'])).rows);
  say('nothing', (await pool.query("INSERT INTO office (city) VALUES ('Oslo') ON CONFLICT DO NOTHING")).rowCount);
  say('by query', (await pool.query("INSERT INTO kinds (id, te) SELECT 1000 + id, city FROM office WHERE id < $1", [3])).rowCount);
  say('from', (await pool.query("UPDATE letter SET tags = tags || o.city FROM office o WHERE o.id = letter.office_id AND o.id < 3 RETURNING letter.id")).rows.length);
  say('using', (await pool.query("DELETE FROM kinds USING office WHERE kinds.id = 1000 + office.id")).rowCount);
  say('sequence', (await pool.query("SELECT nextval('bill') AS a")).rows, (await pool.query("SELECT nextval('bill') AS a, currval('bill') AS b")).rows);
  say('json', (await pool.query("UPDATE letter SET meta = jsonb_set(coalesce(meta, '{}'), '{seen}', 'true') WHERE id = 1 RETURNING meta")).rows);
  say('cascade', (await pool.query("DELETE FROM office WHERE id = 2")).rowCount, (await pool.query('SELECT count(*) FROM letter')).rows);
  await pool.query('TRUNCATE parcel');
  if (feature('writing_cte')) {
    say('cte', (await pool.query('WITH gone AS (DELETE FROM job WHERE id > 35 RETURNING id) INSERT INTO kinds (id) SELECT 5000 + id FROM gone')).rowCount);
  }
  if (feature('procedural')) await pool.query("DO $$ BEGIN UPDATE job SET state = 'by do' WHERE id = 1; END $$");
  if (feature('temporary_tables')) {
    await withClient(pool, async (client) => {
      await client.query('CREATE TEMP TABLE staging AS SELECT id FROM job LIMIT 5');
      say('staging', (await client.query('SELECT count(*) FROM staging')).rows);
      await client.query('DROP TABLE staging');
    });
  }
}

async function listen(pool) {
  if (!feature('listen')) return;
  await withClient(pool, async (client) => {
    const heard = [];
    client.on('notification', (message) => heard.push([message.channel, message.payload]));
    await client.query('LISTEN post');
    await inTransaction(pool, (other) => other.query("NOTIFY post, 'one'"));
    await expectError('never', () => inTransaction(pool, async (other) => {
      await other.query("NOTIFY post, 'rolled back'");
      throw new Error('changed my mind');
    }));
    await pool.query('SELECT pg_notify($1, $2)', ['post', 'two']);
    const limit = Date.now() + HEARD_LIMIT_MILLIS;
    while (heard.length < 2 && Date.now() < limit) await sleep(20);
    say('heard', heard);
    await client.query('UNLISTEN *');
    client.removeAllListeners('notification');
  });
}

function parts(pool) {
  return [savepoints, queue, locks, deadlock, isolation, deferred, errors, writes, listen].map((part) => ({ [part.name]: () => part(pool) })[part.name]);
}

module.exports = { parts };

'use strict';
/* Rows in and out: types, prepared statements, COPY, cursors, several statements in one message. */

const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const Cursor = require('pg-cursor');
const { from, to } = require('pg-copy-streams');
const { expectError, feature, say } = require('./transcript');

async function withClient(pool, action) {
  const client = await pool.connect();
  try {
    return await action(client);
  } finally {
    client.release();
  }
}

async function insertAndRead(pool) {
  const insert = `INSERT INTO letter (office_id, sender, weight, tags, meta) VALUES ($1, $2, $3, $4, $5)
    RETURNING id, state, heavy, route, posted IS NOT NULL AS posted, code IS NOT NULL AS code`;
  const values = [[1, 'Ann', 0.5, ['a', 'b "c"'], { deep: [1, { x: null }] }], [2, 'Žofie 🐎', '2.125', [], []], [3, "O'Neil \\", 9, null, 'text']];
  for (const [office, sender, weight, tags, meta] of values) {
    await pool.query(insert, [office, sender, weight, tags ?? ['none'], JSON.stringify(meta)]).then((got) => say('inserted', got.rowCount, got.rows));
  }
  const found = await pool.query('SELECT id, sender, weight, tags, meta, heavy FROM letter ORDER BY id');
  say('fields', found.fields.map((field) => [field.name, field.dataTypeID, field.format]));
  say('rows', found.rows);
  say('array mode', (await pool.query({ text: 'SELECT id, sender FROM letter WHERE weight > $1 ORDER BY 1', values: [1], rowMode: 'array' })).rows);
  say('null', (await pool.query('SELECT $1::text AS a, $2::int[] AS b', [null, [1, null, 3]])).rows);
}

async function types(pool) {
  await pool.query(`CREATE TABLE kinds (id int PRIMARY KEY, b bytea, i8 bigint, f float8, bo boolean, d date, ts timestamp, tz timestamptz,
    iv interval, j json, jb jsonb, aa int[][], te text, ip inet, ra int4range)`);
  const moment = new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
  const row = [1, Buffer.from([0, 1, 254, 255, 92, 39]), '9223372036854775807', 1.5e300, true, '2026-02-03', '2026-02-03 04:05:06.789', moment,
    '1 day 02:03:04', { a: 1 }, JSON.stringify([1, 'x']), [[1, 2], [3, 4]], 'tab\t newline\n', '10.0.0.1/8', '[1,5)'];
  await pool.query(`INSERT INTO kinds VALUES (${row.map((_, i) => `$${i + 1}`).join(', ')})`, row);
  say('values', (await pool.query('SELECT * FROM kinds WHERE b = $1', [row[1]])).rows);
  const binary = await pool.query({ text: 'SELECT b, i8, f, bo FROM kinds WHERE id = $1', values: [1], binary: true });
  say('binary', binary.fields.map((field) => field.format), binary.rows[0].bo);
  say('any', (await pool.query('SELECT id FROM letter WHERE id = ANY($1) ORDER BY id', [[1, 3, 99]])).rows);
  say('unnest', (await pool.query('INSERT INTO kinds (id, te) SELECT * FROM unnest($1::int[], $2::text[]) RETURNING id', [[10, 11, 12], ['x', null, 'z']])).rowCount);
}

async function prepared(pool) {
  await withClient(pool, async (client) => {
    const read = { name: 'letter-by-id', text: 'SELECT sender FROM letter WHERE id = $1' };
    const write = { name: 'heavier', text: 'UPDATE letter SET weight = weight + $1 WHERE id = $2' };
    for (let i = 0; i < 12; i += 1) {
      const got = await client.query({ ...write, values: [0.25, (i % 3) + 1] });
      const back = await client.query({ ...read, values: [(i % 4) + 1] });
      if (i > 9) say('prepared', got.rowCount, back.rows);
    }
    await expectError('same name, other text', () => client.query({ name: 'heavier', text: 'SELECT 1' }));
    await client.query('ALTER TABLE letter ADD COLUMN extra int');
    const all = { name: 'all', text: 'SELECT * FROM office WHERE id = $1', values: [1] };
    say('before', (await client.query(all)).rows);
    await client.query('ALTER TABLE office ADD COLUMN opened date');
    await expectError('plan of another type', () => client.query(all));
    await client.query('DEALLOCATE ALL');
    say('weights', (await client.query('SELECT id, weight FROM letter ORDER BY id')).rows);
  });
  // node-postgres queues these on one connection; on the pool they run side by side.
  const many = await Promise.all(Array.from({ length: 40 }, (_, i) => pool.query('INSERT INTO kinds (id, te) VALUES ($1, $2)', [100 + i, `many ${i}`])));
  say('side by side', many.reduce((sum, got) => sum + got.rowCount, 0));
}

async function copyStreams(pool) {
  await pool.query('CREATE TABLE parcel (id int PRIMARY KEY, town text, weight numeric)');
  await withClient(pool, async (client) => {
    const lines = Array.from({ length: 20000 }, (_, i) => `${i}\ttown ${i % 17}\t${i % 100}.5\n`);
    const sink = client.query(from('COPY parcel FROM STDIN'));
    await pipeline(Readable.from(lines), sink);
    say('copied in', sink.rowCount);
    let bytes = 0;
    const source = client.query(to("COPY (SELECT * FROM parcel WHERE id < 5000 ORDER BY id) TO STDOUT (FORMAT csv, HEADER)"));
    for await (const piece of source) bytes += piece.length;
    say('copied out', bytes);
    for (const [what, line] of [['duplicate', '5\ta\t1\n'], ['bad number', '30000\ta\tx\n'], ['too many columns', '30000\ta\t1\t2\n']]) {
      await expectError(`copy, ${what}`, () => pipeline(Readable.from([line]), client.query(from('COPY parcel FROM STDIN'))));
    }
    say('count', (await client.query('SELECT count(*), sum(weight) FROM parcel')).rows);
    await client.query('BEGIN');
    await pipeline(Readable.from(['40000,"a, b",1\n']), client.query(from('COPY parcel (id, town, weight) FROM STDIN (FORMAT csv)')));
    await client.query('ROLLBACK');
    say('rolled back', (await client.query('SELECT count(*) FROM parcel WHERE id = 40000')).rows);
  });
}

async function cursors(pool) {
  await withClient(pool, async (client) => {
    const cursor = client.query(new Cursor('SELECT id FROM parcel WHERE id > $1 ORDER BY id', [10]));
    say('pieces', (await cursor.read(3)).map((row) => row.id), (await cursor.read(2)).map((row) => row.id));
    await cursor.close();
    await client.query('BEGIN');
    await client.query('DECLARE by_hand CURSOR FOR SELECT id FROM parcel ORDER BY id DESC');
    say('fetch', (await client.query('FETCH 3 FROM by_hand')).rows);
    await client.query('MOVE 10 IN by_hand');
    say('fetch', (await client.query('FETCH NEXT FROM by_hand')).rows);
    await client.query('CLOSE by_hand');
    await client.query('COMMIT');
    if (feature('hold_cursors')) {
      await client.query('DECLARE held CURSOR WITH HOLD FOR SELECT id FROM parcel ORDER BY id');
      say('held', (await client.query('FETCH 2 FROM held; CLOSE held'))[0].rows);
    }
  });
}

async function severalStatements(pool) {
  const results = await pool.query("SELECT 1 AS a; INSERT INTO office (city) VALUES ('Riga'), ('Graz'); UPDATE office SET city = upper(city) WHERE city = 'Graz'; SELECT city FROM office ORDER BY id");
  say('several', results.map((result) => [result.command, result.rowCount, result.rows]));
  await expectError('the last one fails', () => pool.query("INSERT INTO office (city) VALUES ('Cork'); INSERT INTO office (city) VALUES ('Oslo')"));
  say('nothing is left of it', (await pool.query("SELECT count(*) FROM office WHERE city = 'Cork'")).rows);
  await withClient(pool, async (client) => {
    const notices = [];
    client.on('notice', (notice) => notices.push([notice.code, notice.message]));
    await client.query('DROP TABLE IF EXISTS nowhere; CREATE TABLE IF NOT EXISTS office (id int)');
    say('notices', notices);
    client.removeAllListeners('notice');
  });
}

function parts(pool) {
  return [insertAndRead, types, prepared, copyStreams, cursors, severalStatements].map((part) => ({ [part.name]: () => part(pool) })[part.name]);
}

module.exports = { parts, withClient };

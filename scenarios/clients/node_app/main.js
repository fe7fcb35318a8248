'use strict';
/* A post office on node-postgres: migrations, a pool, prepared statements, COPY, cursors. Usage: main.js URL. */

const { Pool } = require('pg');
const { runParts } = require('./transcript');
const data = require('./data');
const migrations = require('./migrations');
const transactions = require('./transactions');

async function main() {
  const pool = new Pool({ connectionString: process.argv[2], max: 4, idleTimeoutMillis: 2000 });
  pool.on('error', (error) => console.error('idle client', error));
  const parts = [...migrations.parts(pool), ...data.parts(pool), ...transactions.parts(pool)];
  await runParts(parts);
  await pool.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

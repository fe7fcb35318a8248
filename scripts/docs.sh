#!/usr/bin/env bash
# Writes the generated tables of the documents; `make test` fails if they are out of date.
set -euo pipefail
cd "$(dirname "$0")/.."
RAIDB_WRITE_DOCS=1 cargo test --locked -p raidb-core --lib documented

-- What takes images of rows on the lead: see docs/adr/0013-captured-images.md. Each piece ends in a line of two dashes alone.
--
-- A session's images are in a temporary table of its own that belongs to the owner of these functions: somebody else's table of
-- that name could have triggers, which would run with the rights of that owner.

CREATE OR REPLACE FUNCTION raidb.capture() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  -- As texts that every member reads alike, whatever a function of the user has set.
  SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' AS $raidb$
DECLARE
  op "char" := left(tg_op, 1);
  old_row text;
  new_row text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('pg_temp.raidb_images')
                 AND relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)) THEN
    RAISE EXCEPTION 'raidb.capture is on outside of a statement of raidb'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'RESET raidb.capture.';
  END IF;
  IF op IN ('U', 'D') THEN
    old_row := format('%s', old);
  END IF;
  IF op IN ('I', 'U') THEN
    new_row := format('%s', new);
  ELSIF op = 'T' THEN
    -- How many rows of pg_class that changes: the table, its TOAST table, and the indexes of both.
    SELECT 1 + (c.reltoastrelid <> 0)::int * 2 + (SELECT count(*) FROM pg_index WHERE indrelid = c.oid)
      INTO new_row FROM pg_class c WHERE c.oid = tg_relid;
  END IF;
  INSERT INTO pg_temp.raidb_images (op, s, t, old, new)
    VALUES (op, tg_table_schema, tg_table_name, old_row, new_row);
  RETURN NULL;
END $raidb$
--
-- What the transaction has done so far, as rows (kind, a, b, c, d, e).
CREATE OR REPLACE FUNCTION raidb.capture_facts()
  RETURNS TABLE (kind text, a text, b text, c text, d text, e text) LANGUAGE sql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $raidb$
  -- Tables with rows written, by attempts: also those of subtransactions that were rolled back.
  SELECT 'table', n.nspname::text, c.relname::text,
    concat_ws(' ', pg_stat_get_xact_tuples_inserted(c.oid), pg_stat_get_xact_tuples_updated(c.oid),
      pg_stat_get_xact_tuples_deleted(c.oid)),
    (SELECT count(*) FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace s ON s.oid = p.pronamespace
      WHERE g.tgrelid = c.oid AND g.tgenabled = 'A' AND s.nspname = 'raidb' AND p.proname = 'capture')::text,
    concat(c.relpersistence, CASE WHEN u.rolsuper OR (
      has_table_privilege(u.oid, c.oid, 'INSERT') AND has_table_privilege(u.oid, c.oid, 'UPDATE')
      AND has_table_privilege(u.oid, c.oid, 'DELETE') AND has_table_privilege(u.oid, c.oid, 'SELECT')
      AND has_table_privilege(u.oid, c.oid, 'TRUNCATE') AND (u.rolbypassrls OR NOT c.relrowsecurity)) THEN 'w' END)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_roles u ON u.rolname = session_user
    WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_toast'
      AND c.oid IS DISTINCT FROM to_regclass('pg_temp.raidb_images')
      AND (pg_stat_get_xact_tuples_inserted(c.oid) <> 0 OR pg_stat_get_xact_tuples_updated(c.oid) <> 0
        OR pg_stat_get_xact_tuples_deleted(c.oid) <> 0)
  UNION ALL
  -- A sequence that was used is locked up to the end of the transaction; so is a table whose rows were locked.
  SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'row lock' END, n.nspname::text, c.relname::text,
    CASE WHEN c.relkind = 'S' THEN pg_sequence_last_value(c.oid)::text END, NULL, NULL
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relpersistence <> 't'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (c.relkind = 'S' AND l.mode = 'RowExclusiveLock'
        OR c.relkind IN ('r', 'p') AND l.mode = 'RowShareLock' AND n.nspname !~ '^pg_')
  UNION ALL
  -- A sequence that somebody has for himself was altered, or set back by TRUNCATE … RESTART IDENTITY.
  SELECT 'reset', n.nspname::text, c.relname::text, NULL, NULL, NULL
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relkind = 'S' AND c.relpersistence <> 't'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.mode IN ('AccessExclusiveLock', 'ShareRowExclusiveLock')
  UNION ALL
  -- A table that somebody has for himself may have been emptied.
  SELECT 'alone', n.nspname::text, c.relname::text, NULL, NULL, NULL
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relkind = 'r' AND c.relpersistence <> 't'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.mode = 'AccessExclusiveLock'
  UNION ALL
  SELECT 'advisory', concat_ws(' ', l.classid, l.objid, l.objsubid, l.mode), NULL, NULL, NULL, NULL
    FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory'
  UNION ALL
  -- Nothing is counted: what is written does not show.
  SELECT 'blind', NULL, NULL, NULL, NULL, NULL WHERE current_setting('track_counts') <> 'on'
$raidb$
--
-- Makes the session's table of images. The first row says whether images may be applied by this user: `ready` or `forbidden`;
-- or `read only`, where nothing can be written.
CREATE OR REPLACE FUNCTION raidb.capture_begin()
  RETURNS TABLE (kind text, a text, b text, c text, d text, e text) LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $raidb$
DECLARE
  allowed boolean;
BEGIN
  IF current_setting('transaction_read_only') = 'on' THEN
    RETURN QUERY SELECT 'read only', ''::text, ''::text, ''::text, ''::text, ''::text;
    RETURN QUERY SELECT f.* FROM raidb.capture_facts() f;
    RETURN;
  END IF;
  IF to_regclass('pg_temp.raidb_images') IS NULL THEN
    CREATE TEMPORARY TABLE raidb_images (n bigint GENERATED ALWAYS AS IDENTITY, op "char" NOT NULL, s text NOT NULL,
      t text NOT NULL, old text, new text) ON COMMIT DELETE ROWS;
  END IF;
  SELECT rolsuper INTO allowed FROM pg_roles WHERE rolname = session_user;
  IF NOT allowed AND current_setting('server_version_num')::int >= 150000 THEN
    EXECUTE 'SELECT has_parameter_privilege(session_user, ''session_replication_role'', ''SET'')' INTO allowed;
  END IF;
  RETURN QUERY SELECT CASE WHEN allowed THEN 'ready' ELSE 'forbidden' END, session_user::text, ''::text, ''::text, ''::text, ''::text;
  RETURN QUERY SELECT f.* FROM raidb.capture_facts() f;
END $raidb$
--
-- The facts, then the images in the order in which they were taken: (image, operation, schema, table, old row, new row).
CREATE OR REPLACE FUNCTION raidb.capture_end()
  RETURNS TABLE (kind text, a text, b text, c text, d text, e text) LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $raidb$
BEGIN
  RETURN QUERY SELECT f.* FROM raidb.capture_facts() f;
  RETURN QUERY WITH taken AS (DELETE FROM pg_temp.raidb_images RETURNING *)
    SELECT 'image', x.op::text, x.s, x.t, x.old, x.new FROM taken x ORDER BY x.n;
END $raidb$

import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

/** A small application on the stock JDBC driver: what stores and frameworks do with it. Prints OK and a count. */
public final class JdbcApp {
    private static int checks;

    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            metadata(connection);
            batches(connection);
            preparedStatements(connection);
            fetchSizeAndMaxRows(connection);
            transactions(connection);
            binary(connection);
            generatedKeys(connection);
            warningsAndTimeouts(connection);
            tokens(connection);
            notifications(connection, arguments[0]);
            advisoryLocks(connection, arguments[0]);
        }
        System.out.println("OK " + checks);
    }

    private static void check(boolean condition, String what) {
        checks++;
        if (!condition) {
            throw new IllegalStateException("FAILED: " + what);
        }
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static long number(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getLong(1);
        }
    }

    private static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData data = connection.getMetaData();
        check(data.getDatabaseMajorVersion() >= 15, "server version");
        execute(connection, "create table jdbc_item(id bigint primary key, name varchar(40), price double precision)");
        try (ResultSet columns = data.getColumns(null, "public", "jdbc_item", "%")) {
            int count = 0;
            while (columns.next()) {
                count++;
            }
            check(count == 3, "columns");
        }
        try (ResultSet keys = data.getPrimaryKeys(null, "public", "jdbc_item")) {
            check(keys.next() && keys.getString("COLUMN_NAME").equals("id"), "primary key");
        }
    }

    private static void batches(Connection connection) throws SQLException {
        String insert = "insert into jdbc_item values (?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            for (int i = 0; i < 100; i++) {
                statement.setLong(1, i);
                statement.setString(2, "item " + i);
                statement.setDouble(3, i / 4.0);
                statement.addBatch();
            }
            check(Arrays.stream(statement.executeBatch()).sum() == 100, "batch of inserts");
            for (int id : new int[] {200, 201, 5, 202}) {
                statement.setLong(1, id);
                statement.setString(2, "second");
                statement.setDouble(3, 0);
                statement.addBatch();
            }
            try {
                statement.executeBatch();
                check(false, "a batch with a duplicate must fail");
            } catch (BatchUpdateException duplicate) {
                check("23505".equals(duplicate.getSQLState()), "SQLSTATE of the batch: " + duplicate.getSQLState());
            }
        }
        check(number(connection, "select count(*) from jdbc_item") == 100, "a failed batch leaves nothing");
        try (PreparedStatement delete = connection.prepareStatement("delete from jdbc_item where id = ?")) {
            for (int i = 90; i < 110; i++) {
                delete.setLong(1, i);
                delete.addBatch();
            }
            check(Arrays.stream(delete.executeBatch()).sum() == 10, "batch of deletes");
        }
    }

    /** More than five executions: the driver changes to a named statement and to binary transfer. */
    private static void preparedStatements(Connection connection) throws SQLException {
        String query = "select name, price from jdbc_item where id = ?";
        String update = "update jdbc_item set price = price + ? where id = ?";
        try (PreparedStatement read = connection.prepareStatement(query);
                PreparedStatement write = connection.prepareStatement(update)) {
            for (int i = 0; i < 12; i++) {
                write.setDouble(1, 1.5);
                write.setLong(2, i);
                check(write.executeUpdate() == 1, "prepared update");
                read.setLong(1, i);
                try (ResultSet rows = read.executeQuery()) {
                    check(rows.next() && rows.getDouble(2) == i / 4.0 + 1.5, "prepared read sees the update");
                }
            }
        }
        // The plan's result type changes under a named statement; the driver must get an error that it can handle.
        try (PreparedStatement all = connection.prepareStatement("select * from jdbc_item where id = 1")) {
            for (int i = 0; i < 8; i++) {
                all.executeQuery().close();
            }
            execute(connection, "alter table jdbc_item add column note text");
            connection.setAutoCommit(true);
            try (ResultSet rows = all.executeQuery()) {
                check(rows.getMetaData().getColumnCount() >= 3, "query after ALTER TABLE");
            } catch (SQLException changed) {
                check("0A000".equals(changed.getSQLState()), "cached plan must not change result type: " + changed);
            }
        }
    }

    private static void fetchSizeAndMaxRows(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(7);
            try (ResultSet rows = statement.executeQuery("select g from generate_series(1, 100) g")) {
                long sum = 0;
                while (rows.next()) {
                    sum += rows.getLong(1);
                    if (rows.getRow() == 30) {
                        check(number(connection, "select 1") == 1, "another statement while a portal is suspended");
                    }
                }
                check(sum == 5050, "all rows in pieces of 7");
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
        try (Statement statement = connection.createStatement()) {
            statement.setMaxRows(10);
            try (ResultSet rows = statement.executeQuery("select id from jdbc_item order by id")) {
                int count = 0;
                while (rows.next()) {
                    count++;
                }
                check(count == 10, "max rows");
            }
        }
    }

    private static void transactions(Connection connection) throws SQLException {
        execute(connection, "create table jdbc_tx(id int primary key)");
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_UNCOMMITTED);
        connection.setAutoCommit(false);
        execute(connection, "insert into jdbc_tx values (1)");
        Savepoint savepoint = connection.setSavepoint();
        execute(connection, "insert into jdbc_tx values (2)");
        connection.rollback(savepoint);
        execute(connection, "insert into jdbc_tx values (3)");
        connection.commit();
        execute(connection, "delete from jdbc_tx");
        connection.rollback();
        try {
            execute(connection, "insert into jdbc_tx values (3)");
            check(false, "duplicate");
        } catch (SQLException duplicate) {
            check("23505".equals(duplicate.getSQLState()), "duplicate: " + duplicate.getSQLState());
        }
        try {
            execute(connection, "select 1");
            check(false, "aborted");
        } catch (SQLException aborted) {
            check("25P02".equals(aborted.getSQLState()), "aborted: " + aborted.getSQLState());
        }
        connection.rollback();
        check(number(connection, "select sum(id) from jdbc_tx") == 4, "1 and 3 are left");
        connection.commit();
        connection.setAutoCommit(true);
        connection.setReadOnly(true);
        connection.setAutoCommit(false);
        check(number(connection, "select count(*) from jdbc_tx") == 2, "read-only transaction");
        connection.commit();
        connection.setAutoCommit(true);
        connection.setReadOnly(false);
    }

    private static void binary(Connection connection) throws SQLException {
        execute(connection, "create table jdbc_blob(id int primary key, b bytea, at timestamp with time zone, a int[])");
        byte[] bytes = new byte[100_000];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (i * 31);
        }
        Timestamp at = Timestamp.valueOf("2026-01-02 03:04:05.678901");
        String insert = "insert into jdbc_blob values (?, ?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            for (int i = 0; i < 8; i++) {
                statement.setInt(1, i);
                statement.setBytes(2, bytes);
                statement.setTimestamp(3, at);
                Array array = connection.createArrayOf("int4", new Object[] {1, null, 3});
                statement.setArray(4, array);
                check(statement.executeUpdate() == 1, "insert bytea");
            }
        }
        try (PreparedStatement read = connection.prepareStatement("select b, at from jdbc_blob where id = ?")) {
            for (int i = 0; i < 8; i++) {
                read.setInt(1, i);
                try (ResultSet rows = read.executeQuery()) {
                    rows.next();
                    check(Arrays.equals(bytes, rows.getBytes(1)), "bytea round trip");
                    check(at.equals(rows.getTimestamp(2)), "timestamp round trip");
                }
            }
        }
    }

    private static void generatedKeys(Connection connection) throws SQLException {
        execute(connection, "create table jdbc_serial(id serial primary key, name text, at timestamptz default now())");
        String insert = "insert into jdbc_serial(name) values (?)";
        try (PreparedStatement statement = connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS)) {
            for (int i = 1; i <= 8; i++) {
                statement.setString(1, "n" + i);
                statement.executeUpdate();
                try (ResultSet keys = statement.getGeneratedKeys()) {
                    check(keys.next() && keys.getInt(1) == i, "generated key " + i);
                }
            }
        }
    }

    private static void warningsAndTimeouts(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("drop table if exists jdbc_nowhere");
            SQLWarning warning = statement.getWarnings();
            check(warning != null && warning.getMessage().contains("does not exist"), "warning");
            statement.setQueryTimeout(1);
            try {
                statement.execute("select pg_sleep(20)");
                check(false, "query time-out");
            } catch (SQLException cancelled) {
                check("57014".equals(cancelled.getSQLState()), "cancelled: " + cancelled.getSQLState());
            }
        }
        check(number(connection, "select 1") == 1, "usable after a cancelled query");
    }

    /** Outcome by token: each transaction has one, and is asked for by a statement that the driver prepares at last. */
    private static void tokens(Connection connection) throws SQLException {
        execute(connection, "create table jdbc_token(id int primary key)");
        for (int i = 0; i < 8; i++) {
            String token = java.util.UUID.randomUUID().toString();
            connection.setAutoCommit(false);
            try (PreparedStatement name = connection.prepareStatement("set raidb.token = ?")) {
                name.setString(1, token);
                name.execute();
            }
            execute(connection, "insert into jdbc_token values (" + i + ")");
            if (i % 2 == 0) {
                connection.commit();
            } else {
                connection.rollback();
            }
            connection.setAutoCommit(true);
            try (PreparedStatement question = connection.prepareStatement("select raidb.outcome(?)")) {
                for (int again = 0; again < 7; again++) {
                    question.setString(1, token);
                    try (ResultSet rows = question.executeQuery()) {
                        String told = rows.next() ? rows.getString("outcome") : "nothing";
                        check(told.equals(i % 2 == 0 ? "committed" : "aborted"), "outcome of transaction " + i + ": " + told);
                    }
                }
            }
        }
        check(number(connection, "select count(*) from jdbc_token") == 4, "what was told is true");
    }

    /** getNotifications: those of another connection and its own, with the process id that the sender knows as its own. */
    private static void notifications(Connection connection, String url) throws SQLException {
        PGConnection listener = connection.unwrap(PGConnection.class);
        execute(connection, "listen jdbc_news");
        try (Connection other = DriverManager.getConnection(url)) {
            other.setAutoCommit(false);
            try (PreparedStatement notify = other.prepareStatement("select pg_notify(?, ?)")) {
                for (int i = 0; i < 8; i++) {
                    notify.setString(1, "jdbc_news");
                    notify.setString(2, "n" + i);
                    notify.execute();
                }
            }
            check(listener.getNotifications(100).length == 0, "nothing is told before COMMIT");
            other.commit();
            List<String> told = new ArrayList<>();
            int sender = other.unwrap(PGConnection.class).getBackendPID();
            while (told.size() < 8) {
                PGNotification[] next = listener.getNotifications(10_000);
                check(next != null && next.length > 0, "notifications come: " + told);
                for (PGNotification one : next) {
                    check(one.getPID() == sender && one.getName().equals("jdbc_news"), "sender and channel");
                    told.add(one.getParameter());
                }
            }
            check(told.equals(List.of("n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7")), "all, in order: " + told);
        }
        execute(connection, "notify jdbc_news, 'own'");
        PGNotification[] own = listener.getNotifications();
        check(own.length == 1 && own[0].getPID() == listener.getBackendPID(), "its own notification");
        execute(connection, "unlisten *");
    }

    /** Advisory locks, by a statement that the driver prepares at last. */
    private static void advisoryLocks(Connection connection, String url) throws SQLException {
        try (Connection other = DriverManager.getConnection(url);
                PreparedStatement lock = connection.prepareStatement("select pg_try_advisory_lock(?)");
                PreparedStatement unlock = connection.prepareStatement("select pg_advisory_unlock(?)")) {
            for (long key = 0; key < 8; key++) {
                lock.setLong(1, key);
                unlock.setLong(1, key);
                check(truth(lock), "a free lock");
                try (PreparedStatement again = other.prepareStatement("select pg_try_advisory_lock(" + key + ")")) {
                    check(!truth(again), "a lock that is held");
                }
                check(truth(unlock) && !truth(unlock), "given back once");
            }
        }
    }

    private static boolean truth(PreparedStatement statement) throws SQLException {
        try (ResultSet rows = statement.executeQuery()) {
            return rows.next() && rows.getBoolean(1);
        }
    }

    private JdbcApp() {}
}

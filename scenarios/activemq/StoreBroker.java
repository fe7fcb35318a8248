import java.io.File;
import org.apache.activemq.broker.AbstractLocker;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.store.jdbc.DefaultDatabaseLocker;
import org.apache.activemq.store.jdbc.JDBCPersistenceAdapter;
import org.apache.activemq.store.jdbc.LeaseDatabaseLocker;
import org.apache.commons.dbcp.BasicDataSource;

/** A broker whose messages are in the database at a JDBC URL, as the ActiveMQ manual sets it up. */
final class StoreBroker {
    /** Shorter than the stock 30 s, so that a short run has many keep-alives. */
    private static final int KEEP_ALIVE_MS = 500;
    /** Length of a lease: longer than a keep-alive and the pause that the loss of a member costs ({@code member_timeout}). */
    private static final int LEASE_MS = 5000;
    /** Shorter than the stock 5 minutes, so that a short run has the housekeeping deletes as well. */
    private static final int CLEANUP_MS = 2000;

    static BrokerService create(String jdbcUrl, String name, String locker) throws Exception {
        BasicDataSource source = new BasicDataSource();
        source.setDriverClassName("org.postgresql.Driver");
        source.setUrl(jdbcUrl);
        source.setMaxActive(50);
        source.setPoolPreparedStatements(true);

        AbstractLocker lock = locker.equals("lease") ? new LeaseDatabaseLocker() : new DefaultDatabaseLocker();
        lock.setLockAcquireSleepInterval(locker.equals("lease") ? LEASE_MS : 1000);
        JDBCPersistenceAdapter adapter = new JDBCPersistenceAdapter();
        adapter.setDataSource(source);
        adapter.setLocker(lock);
        adapter.setLockKeepAlivePeriod(KEEP_ALIVE_MS);
        adapter.setCleanupPeriod(CLEANUP_MS);

        BrokerService broker = new BrokerService();
        // Below the working directory, which the scenario removes.
        broker.setDataDirectoryFile(new File("broker-" + ProcessHandle.current().pid()));
        broker.setBrokerName(name);
        broker.setUseJmx(false);
        broker.setPersistenceAdapter(adapter);
        broker.setUseShutdownHook(false);
        return broker;
    }

    private StoreBroker() {}
}

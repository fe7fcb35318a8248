import java.net.URI;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.broker.Locker;
import org.apache.activemq.broker.TransportConnector;
import org.apache.activemq.store.jdbc.JDBCPersistenceAdapter;
import org.apache.activemq.store.jdbc.LeaseDatabaseLocker;

/** One broker as a process. Arguments: JDBC URL, name, TCP port, locker. Prints MASTER when it has the lock. */
public final class BrokerMain {
    public static void main(String[] arguments) throws Exception {
        BrokerService broker = StoreBroker.create(arguments[0], "store", arguments[3]);
        Locker locker = ((JDBCPersistenceAdapter) broker.getPersistenceAdapter()).getLocker();
        if (locker instanceof LeaseDatabaseLocker) {
            // Otherwise it is the broker's name, which both have: each would keep the other's lease alive.
            ((LeaseDatabaseLocker) locker).setLeaseHolderId(arguments[1]);
        }
        // As from an XML file: bound when the broker is the master, not before. (A broker that waits would take connections and say nothing.)
        TransportConnector connector = new TransportConnector();
        connector.setUri(new URI("tcp://127.0.0.1:" + arguments[2]));
        broker.addConnector(connector);
        System.out.println("STARTING " + arguments[1]);
        broker.start();
        broker.waitUntilStarted();
        System.out.println("MASTER " + arguments[1]);
        broker.waitUntilStopped();
        System.exit(3);
    }

    private BrokerMain() {}
}

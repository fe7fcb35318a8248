import org.apache.activemq.broker.BrokerService;

/** One broker as a process. Arguments: JDBC URL, name, TCP port, locker. Prints MASTER when it has the lock. */
public final class BrokerMain {
    public static void main(String[] arguments) throws Exception {
        BrokerService broker = StoreBroker.create(arguments[0], "store", arguments[3]);
        broker.addConnector("tcp://127.0.0.1:" + arguments[2]);
        System.out.println("STARTING " + arguments[1]);
        broker.start();
        broker.waitUntilStarted();
        System.out.println("MASTER " + arguments[1]);
        broker.waitUntilStopped();
        System.exit(3);
    }

    private BrokerMain() {}
}

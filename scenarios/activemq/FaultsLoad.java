import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * Producers, consumers and durable subscribers on two brokers of which one is the master, for a long time, whatever
 * breaks. Arguments: two TCP ports, seconds, pause between two messages of a producer in milliseconds.
 *
 * <p>Prints PROGRESS (sent, received, mean microseconds of a send) four times a second, PRODUCED when producers have
 * ended, DOUBLED (id, from when to when) for a message that came twice though no connection was lost, RESULT at the end, and a
 * PROBLEM for everything that is wrong; exit code 1 then.
 */
public final class FaultsLoad {
    private static final int BODY_BYTES = 1024;
    private static final int TRANSACTION_MESSAGES = 5;
    /** Nothing arrives for so long, though something is still to come: the rest is lost. */
    private static final long DRAIN_LIMIT_MS = 60_000;
    /** Nothing more comes: a duplicate would have come by now. */
    private static final long QUIET_MS = 2_000;

    /** One step of a client; repeated until it is over. */
    private interface Step {
        void run() throws JMSException, InterruptedException;
    }

    /** A client that works on one session. */
    private interface Client {
        Step on(Session session) throws JMSException;
    }

    private final ActiveMQConnectionFactory factory;
    private final Interruptions interruptions = new Interruptions();
    private final FaultsJournal orders = new FaultsJournal("orders");
    private final FaultsJournal all = new FaultsJournal("subscription to all");
    private final FaultsJournal some = new FaultsJournal("subscription by selector");
    private final AtomicBoolean produced = new AtomicBoolean();
    private final AtomicBoolean over = new AtomicBoolean();
    private final AtomicLong sendNanos = new AtomicLong();
    private final AtomicLong sends = new AtomicLong();
    private final List<String> broken = Collections.synchronizedList(new ArrayList<>());
    private final long pauseMs;

    private FaultsLoad(String first, String second, long pauseMs) {
        this.pauseMs = pauseMs;
        factory = new ActiveMQConnectionFactory(String.format(
                "failover:(tcp://127.0.0.1:%s,tcp://127.0.0.1:%s)?randomize=false&initialReconnectDelay=50"
                        + "&maxReconnectDelay=500",
                first, second));
        factory.getPrefetchPolicy().setAll(50);
        // Whether a message comes twice is for this program to see, not for the client's library to hide in the dead letter queue.
        factory.setCheckForDuplicates(false);
        // A message that is rolled back over and over must not end in the dead letter queue.
        factory.getRedeliveryPolicy().setMaximumRedeliveries(-1);
        factory.getRedeliveryPolicy().setInitialRedeliveryDelay(0);
    }

    public static void main(String[] arguments) throws Exception {
        FaultsLoad load = new FaultsLoad(arguments[0], arguments[1], Long.parseLong(arguments[3]));
        List<String> problems = load.run(Long.parseLong(arguments[2]));
        problems.forEach(problem -> System.out.println("PROBLEM " + problem));
        System.exit(problems.isEmpty() ? 0 : 1);
    }

    private List<String> run(long seconds) throws Exception {
        // What is published before there is a subscription is not for it.
        Connection one = connect("subscriber-all");
        subscribe(session(one, false), "all", null).close();
        one.close();
        Connection other = connect("subscriber-some");
        subscribe(session(other, false), "some", "kind = 'a'").close();
        other.close();
        List<Thread> producers = Arrays.asList(
                start(null, false, produced, session -> single(session, "s")),
                start(null, true, produced, session -> transacted(session, "t")),
                start(null, false, produced, this::publisher));
        List<Thread> consumers = new ArrayList<>(Arrays.asList(
                start(null, false, over, session -> consumer(session, queue(session), false)),
                start(null, true, over, session -> consumer(session, queue(session), true)),
                start("subscriber-some", false, over, session -> subscriber(session, "some", "kind = 'a'", some)),
                start(null, false, over, this::undertaker)));
        consumers.add(thread(this::comingAndGoing));
        consumers.add(thread(this::progress));
        TimeUnit.SECONDS.sleep(seconds);
        produced.set(true);
        for (Thread thread : producers) {
            thread.join();
        }
        System.out.println("PRODUCED");
        System.err.printf("to come: orders %d, all %d, some %d%n", orders.missing(), all.missing(), some.missing());
        long missing = missing();
        long deadline = System.currentTimeMillis() + DRAIN_LIMIT_MS;
        while (missing > 0 && System.currentTimeMillis() < deadline) {
            TimeUnit.MILLISECONDS.sleep(100);
            if (missing() < missing) {
                deadline = System.currentTimeMillis() + DRAIN_LIMIT_MS;
            }
            missing = missing();
        }
        TimeUnit.MILLISECONDS.sleep(QUIET_MS);
        over.set(true);
        for (Thread thread : consumers) {
            thread.join();
        }
        List<String> problems = new ArrayList<>(broken);
        int sent = 0, received = 0, unknown = 0, duplicates = 0;
        for (FaultsJournal journal : List.of(orders, all, some)) {
            journal.check(problems);
            journal.printDoubled(interruptions);
            sent += journal.sent();
            received += journal.receivedOnceOrMore();
            unknown += journal.unknown();
            duplicates += journal.duplicates();
        }
        System.out.printf("RESULT sent=%d received=%d unknown=%d duplicates=%d connections_lost=%d%n",
                sent, received, unknown, duplicates, interruptions.count());
        return problems;
    }

    private long missing() {
        return orders.missing() + all.missing() + some.missing();
    }

    private Connection connect(String id) throws JMSException {
        ActiveMQConnection connection = (ActiveMQConnection) factory.createConnection();
        interruptions.watch(connection);
        if (id != null) {
            connection.setClientID(id);
        }
        connection.start();
        return connection;
    }

    private static Session session(Connection connection, boolean transacted) throws JMSException {
        return connection.createSession(transacted, transacted ? Session.SESSION_TRANSACTED : Session.AUTO_ACKNOWLEDGE);
    }

    private static Destination queue(Session session) throws JMSException {
        return session.createQueue("orders");
    }

    private static MessageConsumer subscribe(Session session, String name, String selector) throws JMSException {
        return session.createDurableSubscriber(session.createTopic("news"), name, selector, false);
    }

    private Thread thread(Step step) {
        Thread thread = new Thread(() -> {
            try {
                step.run();
            } catch (JMSException | InterruptedException | RuntimeException error) {
                error.printStackTrace();
                broken.add("a client has ended: " + error);
            }
        });
        thread.start();
        return thread;
    }

    /** Runs a client until {@code end}; where its connection or session is of no use any more, on a new one. */
    private Thread start(String id, boolean transacted, AtomicBoolean end, Client client) {
        return thread(() -> {
            while (!end.get()) {
                boolean again = onConnection(id, connection -> {
                    Step step = client.on(session(connection, transacted));
                    return () -> {
                        while (!end.get()) {
                            step.run();
                        }
                    };
                });
                TimeUnit.MILLISECONDS.sleep(again ? 100 : 0);
            }
        });
    }

    /** What is done on a connection of its own. */
    private interface Work {
        Step on(Connection connection) throws JMSException;
    }

    /** Runs it on a new connection, which is closed in the end. True: the connection was of no use any more. */
    private boolean onConnection(String id, Work work) throws InterruptedException {
        Connection connection = null;
        try {
            connection = connect(id);
            work.on(connection).run();
            return false;
        } catch (JMSException error) {
            System.err.println("a new connection after " + error);
            return true;
        } finally {
            close(connection);
        }
    }

    private void close(Connection connection) {
        try {
            if (connection != null) {
                connection.close();
                interruptions.end((ActiveMQConnection) connection);
            }
        } catch (JMSException error) {
            System.err.println("close: " + error);
        }
    }

    private final AtomicLong numbers = new AtomicLong();

    private Step single(Session session, String name) throws JMSException {
        MessageProducer producer = producer(session, queue(session));
        return () -> {
            String id = name + numbers.incrementAndGet();
            orders.begin(id);
            send(producer, message(session, id));
            orders.acknowledge(List.of(id));
            TimeUnit.MILLISECONDS.sleep(pauseMs);
        };
    }

    private Step transacted(Session session, String name) throws JMSException {
        MessageProducer producer = producer(session, queue(session));
        return () -> {
            List<String> ids = new ArrayList<>();
            for (int i = 0; i < TRANSACTION_MESSAGES; i++) {
                String id = name + numbers.incrementAndGet();
                orders.begin(id);
                send(producer, message(session, id));
                ids.add(id);
            }
            // Whatever it throws ("in doubt due to failover", as well): their outcome is unknown, and they are not sent again.
            session.commit();
            orders.acknowledge(ids);
            TimeUnit.MILLISECONDS.sleep(pauseMs * TRANSACTION_MESSAGES);
        };
    }

    private Step publisher(Session session) throws JMSException {
        MessageProducer producer = producer(session, session.createTopic("news"));
        return () -> {
            long number = numbers.incrementAndGet();
            String id = "n" + number;
            Message message = message(session, id);
            boolean selected = number % 2 == 0;
            message.setStringProperty("kind", selected ? "a" : "b");
            all.begin(id);
            if (selected) {
                some.begin(id);
            }
            send(producer, message);
            all.acknowledge(List.of(id));
            if (selected) {
                some.acknowledge(List.of(id));
            }
            // Each goes to two subscriptions, of which one is away for a part of the time, and slower than a queue's consumer.
            TimeUnit.MILLISECONDS.sleep(4 * pauseMs);
        };
    }

    private Step consumer(Session session, Destination from, boolean transacted) throws JMSException {
        MessageConsumer consumer = session.createConsumer(from);
        return () -> {
            Message message = consumer.receive(200);
            if (message != null) {
                String id = message.getStringProperty("id");
                try {
                    if (transacted) {
                        session.commit();
                    }
                } catch (JMSException error) {
                    // Committed or not: if not, it comes again.
                    orders.receiveInDoubt(id);
                    throw error;
                }
                orders.receive(id);
            }
        };
    }

    private Step subscriber(Session session, String name, String selector, FaultsJournal journal) throws JMSException {
        MessageConsumer consumer = subscribe(session, name, selector);
        return () -> {
            Message message = consumer.receive(200);
            if (message != null) {
                journal.receive(message.getStringProperty("id"));
            }
        };
    }

    /** A durable subscriber that is there for seven seconds and away for three; for good when producers have ended. */
    private void comingAndGoing() throws InterruptedException {
        while (!over.get()) {
            long until = System.currentTimeMillis() + 7000;
            onConnection("subscriber-all", connection -> {
                Step step = subscriber(session(connection, false), "all", null, all);
                return () -> {
                    while (!over.get() && (produced.get() || System.currentTimeMillis() < until)) {
                        step.run();
                    }
                };
            });
            for (int i = 0; i < 30 && !produced.get(); i++) {
                TimeUnit.MILLISECONDS.sleep(100);
            }
        }
    }

    /** Looks into the dead letter queue. */
    private Step undertaker(Session session) throws JMSException {
        MessageConsumer consumer = session.createConsumer(session.createQueue("ActiveMQ.DLQ"));
        return () -> {
            Message message = consumer.receive(200);
            if (message != null) {
                String id = message.getStringProperty("id");
                System.err.println("dead: " + id + " " + message.getStringProperty("dlqDeliveryFailureCause"));
                List.of(orders, all, some).forEach(journal -> journal.bury(id));
            }
        };
    }

    private void progress() throws InterruptedException {
        while (!over.get()) {
            TimeUnit.MILLISECONDS.sleep(250);
            long count = sends.getAndSet(0);
            long mean = count == 0 ? 0 : sendNanos.getAndSet(0) / count / 1000;
            System.out.printf("PROGRESS %d %d %d%n",
                    orders.sent() + all.sent(), orders.receivedOnceOrMore() + all.receivedOnceOrMore(), mean);
        }
    }

    private void send(MessageProducer producer, Message message) throws JMSException {
        long start = System.nanoTime();
        producer.send(message);
        sendNanos.addAndGet(System.nanoTime() - start);
        sends.incrementAndGet();
    }

    private static MessageProducer producer(Session session, Destination destination) throws JMSException {
        MessageProducer producer = session.createProducer(destination);
        producer.setDeliveryMode(DeliveryMode.PERSISTENT);
        return producer;
    }

    private static BytesMessage message(Session session, String id) throws JMSException {
        BytesMessage message = session.createBytesMessage();
        message.setStringProperty("id", id);
        message.writeBytes(new byte[BODY_BYTES]);
        return message;
    }
}

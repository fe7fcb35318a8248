import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.Topic;
import javax.jms.XAConnection;
import javax.jms.XASession;
import javax.transaction.xa.XAResource;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.ActiveMQXAConnectionFactory;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.command.XATransactionId;

/**
 * An application on an embedded broker. Arguments: JDBC URL, locker, producers, messages.
 *
 * <p>Queues with consumers at the same time, transacted sessions with roll-backs, durable subscriptions of which one is
 * away for a while, XA transactions. Every message must arrive exactly once; no send may fail. Prints READY, then
 * PROGRESS with the number of messages sent so far, then RESULT; exit code 1 if anything is wrong.
 */
public final class StoreLoad {
    private static final int BODY_BYTES = 1024;
    private static final int TRANSACTION_MESSAGES = 10;
    private static final int CONSUMERS = 2;
    private static final long DRAIN_LIMIT_MS = 60_000;

    private final ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory("vm://store?create=false");
    private final Journal queue = new Journal();
    private final List<Journal> subscriptions = List.of(new Journal(), new Journal());
    private final AtomicInteger progress = new AtomicInteger();
    private final AtomicBoolean done = new AtomicBoolean();
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final int producers;
    private final int messages;

    private StoreLoad(int producers, int messages) {
        this.producers = producers;
        this.messages = messages;
    }

    public static void main(String[] arguments) throws Exception {
        BrokerService broker = StoreBroker.create(arguments[0], "store", arguments[1]);
        broker.start();
        broker.waitUntilStarted();
        System.out.println("READY");
        StoreLoad load = new StoreLoad(Integer.parseInt(arguments[2]), Integer.parseInt(arguments[3]));
        List<String> problems = new ArrayList<>();
        try {
            problems.addAll(load.run());
        } catch (Exception error) {
            // The other threads still run: without this the program would hang where it should fail.
            error.printStackTrace();
            System.exit(2);
        }
        if (!broker.isStarted()) {
            problems.add("the broker stopped by itself");
        }
        broker.stop();
        broker.waitUntilStopped();
        problems.forEach(problem -> System.out.println("PROBLEM " + problem));
        System.exit(problems.isEmpty() ? 0 : 1);
    }

    private List<String> run() throws Exception {
        long start = System.nanoTime();
        List<Future<?>> producing = new ArrayList<>();
        List<Future<?>> consuming = new ArrayList<>();
        subscribe(0).close();
        subscribe(1).close();
        for (int i = 0; i < CONSUMERS; i++) {
            consuming.add(threads.submit(this::consume));
        }
        for (int i = 0; i < producers; i++) {
            int number = i;
            int count = messages / producers + (i < messages % producers ? 1 : 0);
            producing.add(threads.submit(() -> produce(number, count)));
        }
        producing.add(threads.submit(this::publish));
        producing.add(threads.submit(this::xa));
        for (Future<?> future : producing) {
            future.get();
        }
        long produced = System.nanoTime();
        done.set(true);
        for (Future<?> future : consuming) {
            future.get();
        }
        long consumed = System.nanoTime();
        List<String> problems = new ArrayList<>();
        queue.check("queue", problems);
        for (int i = 0; i < 2; i++) {
            receiveAll(i);
            subscriptions.get(i).check("subscription " + i, problems);
        }
        threads.shutdownNow();
        System.out.printf(
                "RESULT sent=%d received=%d duplicates=%d send_errors=%d subscriptions=%d+%d produced_per_s=%.0f total_s=%.1f%n",
                queue.sent.size(), queue.received.size(), queue.duplicates(), queue.sendErrors.size(),
                subscriptions.get(0).received.size(), subscriptions.get(1).received.size(),
                queue.sent.size() * 1e9 / (produced - start), (consumed - start) / 1e9);
        return problems;
    }

    /** Odd producers send one by one, even ones in transactions of ten, of which one in five is rolled back first. */
    private Void produce(int number, int count) throws JMSException {
        boolean transacted = number % 2 == 0;
        Connection connection = factory.createConnection();
        connection.start();
        Session session = connection.createSession(transacted, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = producer(session, session.createQueue("orders"));
        List<String> open = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String id = "p" + number + "-" + i;
            try {
                producer.send(message(session, id));
                open.add(id);
                boolean last = i == count - 1;
                if (!transacted) {
                    acknowledged(open);
                } else if (open.size() == TRANSACTION_MESSAGES || last) {
                    if (i / TRANSACTION_MESSAGES % 5 == 4) {
                        session.rollback();
                        for (String again : open) {
                            producer.send(message(session, again));
                        }
                    }
                    session.commit();
                    acknowledged(open);
                }
            } catch (JMSException error) {
                queue.sendErrors.add(id + ": " + error);
                open.clear();
            }
        }
        connection.close();
        return null;
    }

    private void acknowledged(List<String> ids) {
        queue.sent.addAll(ids);
        int now = progress.addAndGet(ids.size());
        if (now / 100 != (now - ids.size()) / 100) {
            System.out.println("PROGRESS " + now);
        }
        ids.clear();
    }

    /** Consumes until all that was sent is here; the first consumer in transactions, the second message by message. */
    private Void consume() throws JMSException {
        Connection connection = factory.createConnection();
        connection.start();
        boolean transacted = consumers.getAndIncrement() % 2 == 0;
        Session session = connection.createSession(transacted, Session.AUTO_ACKNOWLEDGE);
        MessageConsumer consumer = session.createConsumer(session.createQueue("orders"));
        long deadline = 0;
        while (true) {
            Message message = consumer.receive(200);
            if (message != null) {
                if (transacted) {
                    session.commit();
                }
                queue.receive(message.getStringProperty("id"));
            } else if (done.get()) {
                deadline = deadline == 0 ? System.currentTimeMillis() + DRAIN_LIMIT_MS : deadline;
                if (queue.complete() || System.currentTimeMillis() > deadline) {
                    break;
                }
            }
        }
        connection.close();
        return null;
    }

    private final AtomicInteger consumers = new AtomicInteger();

    /** Publishes to the topic: subscriber 0 listens in the first half, subscriber 1 comes back at the end. */
    private Void publish() throws JMSException {
        Connection connection = factory.createConnection();
        connection.start();
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = producer(session, session.createTopic("news"));
        int count = Math.max(20, messages / 20);
        for (int i = 0; i < count; i++) {
            String id = "t" + i;
            try {
                producer.send(message(session, id));
                subscriptions.forEach(journal -> journal.sent.add(id));
            } catch (JMSException error) {
                queue.sendErrors.add(id + ": " + error);
            }
            if (i == count / 2) {
                receiveSome(0, count / 4);
            }
        }
        connection.close();
        return null;
    }

    private Connection subscribe(int number) throws JMSException {
        Connection connection = factory.createConnection();
        connection.setClientID("subscriber-" + number);
        connection.start();
        consumer(connection, number);
        return connection;
    }

    private static MessageConsumer consumer(Connection connection, int number) throws JMSException {
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        Topic topic = session.createTopic("news");
        return session.createDurableSubscriber(topic, "subscription-" + number);
    }

    private void receiveSome(int number, int limit) throws JMSException {
        Connection connection = factory.createConnection();
        connection.setClientID("subscriber-" + number);
        connection.start();
        MessageConsumer consumer = consumer(connection, number);
        for (int i = 0; i < limit; i++) {
            Message message = consumer.receive(5000);
            if (message == null) {
                break;
            }
            subscriptions.get(number).receive(message.getStringProperty("id"));
        }
        connection.close();
    }

    private void receiveAll(int number) throws JMSException {
        Journal journal = subscriptions.get(number);
        receiveSome(number, journal.sent.size() - journal.received.size());
        // One more than there should be would be a duplicate.
        Connection connection = factory.createConnection();
        connection.setClientID("subscriber-" + number);
        connection.start();
        Message more = consumer(connection, number).receive(300);
        if (more != null) {
            journal.receive(more.getStringProperty("id"));
        }
        connection.close();
    }

    /** Two-phase commit over the store's XID column: every fourth transaction is rolled back after prepare. */
    private Void xa() throws Exception {
        XAConnection connection = new ActiveMQXAConnectionFactory("vm://store?create=false").createXAConnection();
        connection.start();
        int count = Math.max(8, messages / 100);
        for (int i = 0; i < count; i++) {
            XASession session = connection.createXASession();
            XAResource resource = session.getXAResource();
            XATransactionId xid = new XATransactionId();
            xid.setFormatId(1);
            xid.setGlobalTransactionId(("global-" + i).getBytes());
            xid.setBranchQualifier("branch".getBytes());
            String id = "xa-" + i;
            resource.start(xid, XAResource.TMNOFLAGS);
            producer(session, session.createQueue("orders")).send(message(session, id));
            resource.end(xid, XAResource.TMSUCCESS);
            resource.prepare(xid);
            if (i % 4 == 3) {
                resource.rollback(xid);
            } else {
                resource.commit(xid, false);
                queue.sent.add(id);
            }
            session.close();
            TimeUnit.MILLISECONDS.sleep(10);
        }
        connection.close();
        return null;
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

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * A client of two brokers of which one is the master. Arguments: two TCP ports, messages.
 *
 * <p>Produces through the take-over, then consumes all: each message exactly once. Prints PROGRESS and RESULT.
 */
public final class TakeoverClient {
    private static final int PRODUCERS = 4;

    public static void main(String[] arguments) throws Exception {
        String brokers = String.format(
                "failover:(tcp://127.0.0.1:%s,tcp://127.0.0.1:%s)?randomize=false&maxReconnectDelay=200",
                arguments[0], arguments[1]);
        ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory(brokers);
        int each = Integer.parseInt(arguments[2]) / PRODUCERS;
        Journal journal = new Journal();
        List<Thread> producers = new ArrayList<>();
        for (int i = 0; i < PRODUCERS; i++) {
            int number = i;
            Thread thread = new Thread(() -> produce(factory, journal, number, each));
            thread.start();
            producers.add(thread);
        }
        for (Thread thread : producers) {
            thread.join();
        }
        consume(factory, journal);
        List<String> problems = new ArrayList<>();
        journal.check("queue", problems);
        System.out.printf("RESULT sent=%d received=%d duplicates=%d send_errors=%d%n",
                journal.sent.size(), journal.received.size(), journal.duplicates(), journal.sendErrors.size());
        problems.forEach(problem -> System.out.println("PROBLEM " + problem));
        System.exit(problems.isEmpty() ? 0 : 1);
    }

    private static void produce(ActiveMQConnectionFactory factory, Journal journal, int number, int count) {
        try {
            Connection connection = factory.createConnection();
            connection.start();
            Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer producer = session.createProducer(session.createQueue("takeover"));
            producer.setDeliveryMode(DeliveryMode.PERSISTENT);
            for (int i = 0; i < count; i++) {
                String id = number + "-" + i;
                Message message = session.createTextMessage(id);
                message.setStringProperty("id", id);
                producer.send(message);
                journal.sent.add(id);
                if (journal.sent.size() % 50 == 0) {
                    System.out.println("PROGRESS " + journal.sent.size());
                }
                TimeUnit.MILLISECONDS.sleep(2);
            }
            connection.close();
        } catch (JMSException | InterruptedException error) {
            journal.sendErrors.add(number + ": " + error);
        }
    }

    private static void consume(ActiveMQConnectionFactory factory, Journal journal) throws JMSException {
        Connection connection = factory.createConnection();
        connection.start();
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageConsumer consumer = session.createConsumer(session.createQueue("takeover"));
        Message message = consumer.receive(10_000);
        while (message != null) {
            journal.receive(message.getStringProperty("id"));
            message = consumer.receive(journal.complete() ? 500 : 10_000);
        }
        connection.close();
    }

    private TakeoverClient() {}
}

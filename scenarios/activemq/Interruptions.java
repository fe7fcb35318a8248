import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.transport.TransportListener;

/** When clients had no connection to a broker. What was on its way then has an unknown outcome. */
final class Interruptions {
    private static final class Span {
        final long from = System.nanoTime();
        volatile long to = Long.MAX_VALUE;
    }

    private final List<Span> spans = new ArrayList<>();
    /** The last one of each connection. */
    private final Map<ActiveMQConnection, Span> last = new HashMap<>();

    /** Books the interruptions of that connection. */
    void watch(ActiveMQConnection connection) {
        connection.addTransportListener(new TransportListener() {
            @Override
            public void transportInterupted() {
                begin(connection);
            }

            @Override
            public void transportResumed() {
                end(connection);
            }

            @Override
            public void onCommand(Object command) {}

            @Override
            public void onException(IOException error) {}
        });
    }

    private synchronized void begin(ActiveMQConnection connection) {
        Span span = new Span();
        spans.add(span);
        last.put(connection, span);
    }

    /** It is connected again, or closed: what comes later is not for this interruption to excuse. */
    synchronized void end(ActiveMQConnection connection) {
        Span span = last.remove(connection);
        if (span != null) {
            span.to = System.nanoTime();
        }
    }

    synchronized int count() {
        return spans.size();
    }

    /** True if there was one between these times. */
    synchronized boolean any(long from, long to) {
        return spans.stream().anyMatch(span -> span.from <= to && span.to >= from);
    }
}

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.transport.TransportListener;

/** When clients had no connection to a broker. What was on its way then has an unknown outcome. */
final class Interruptions {
    private static final class Span {
        final long from = System.nanoTime();
        volatile long to = Long.MAX_VALUE;
    }

    private final List<Span> spans = new ArrayList<>();

    /** Books the interruptions of that connection. */
    void watch(ActiveMQConnection connection) {
        connection.addTransportListener(new TransportListener() {
            private Span open;

            @Override
            public void transportInterupted() {
                open = begin();
            }

            @Override
            public void transportResumed() {
                if (open != null) {
                    open.to = System.nanoTime();
                }
            }

            @Override
            public void onCommand(Object command) {}

            @Override
            public void onException(IOException error) {}
        });
    }

    private synchronized Span begin() {
        Span span = new Span();
        spans.add(span);
        return span;
    }

    synchronized int count() {
        return spans.size();
    }

    /** True if there was one between these times, or up to {@code grace} before. */
    synchronized boolean any(long from, long to, long grace) {
        return spans.stream().anyMatch(span -> span.from <= to && (span.to == Long.MAX_VALUE || span.to + grace >= from));
    }
}

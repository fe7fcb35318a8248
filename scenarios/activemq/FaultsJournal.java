import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;

/** What one stream of messages was promised, and what arrived; with times, so that a duplicate can be excused or not. */
final class FaultsJournal {
    /** How a message arrived. */
    private static final class Receipt {
        int count;
        long last;
        long lastMillis;
    }

    /** What broker or transport say may come this long after the connection broke. */
    private static final long GRACE_NS = 2_000_000_000L;

    private final String name;
    /** When each message was given to send, whatever became of it. */
    private final Map<String, Long> begun = new ConcurrentHashMap<>();
    private final Set<String> acknowledged = ConcurrentHashMap.newKeySet();
    private final Map<String, Receipt> received = new ConcurrentHashMap<>();
    private final Set<String> dead = ConcurrentHashMap.newKeySet();

    FaultsJournal(String name) {
        this.name = name;
    }

    void begin(String id) {
        begun.put(id, System.nanoTime());
    }

    void acknowledge(Collection<String> ids) {
        acknowledged.addAll(ids);
    }

    void receive(String id) {
        received.compute(id, (key, known) -> {
            Receipt receipt = known == null ? new Receipt() : known;
            receipt.count++;
            receipt.last = System.nanoTime();
            receipt.lastMillis = System.currentTimeMillis();
            return receipt;
        });
    }

    /** Found in the dead letter queue. */
    void bury(String id) {
        dead.add(id);
    }

    int sent() {
        return acknowledged.size();
    }

    int receivedOnceOrMore() {
        return received.size();
    }

    /** Messages of which their producer was not told. */
    int unknown() {
        return begun.size() - acknowledged.size();
    }

    int duplicates() {
        return received.values().stream().mapToInt(receipt -> receipt.count - 1).sum();
    }

    /** How many acknowledged messages have not arrived yet. */
    long missing() {
        return acknowledged.stream().filter(id -> !received.containsKey(id)).count();
    }

    /** Says what is wrong, or nothing. */
    void check(Collection<String> problems) {
        List<String> lost = acknowledged.stream().filter(id -> !received.containsKey(id)).collect(Collectors.toList());
        report(problems, "lost", lost.stream().filter(id -> !dead.contains(id)).collect(Collectors.toList()));
        report(problems, "in the dead letter queue only", lost.stream().filter(dead::contains).collect(Collectors.toList()));
        report(problems, "made up", received.keySet().stream().filter(id -> !begun.containsKey(id)).collect(Collectors.toList()));
    }

    /** Messages that came twice though no client lost its connection: who knows what the store went through may excuse them. */
    void printDoubled(Interruptions interruptions) {
        received.forEach((id, receipt) -> {
            long from = begun.getOrDefault(id, 0L);
            if (receipt.count > 1 && !interruptions.any(from, receipt.last, GRACE_NS)) {
                long fromMillis = receipt.lastMillis - (receipt.last - from) / 1_000_000;
                System.out.println("DOUBLED " + id + " " + fromMillis + " " + receipt.lastMillis);
            }
        });
    }

    private void report(Collection<String> problems, String what, List<String> ids) {
        if (!ids.isEmpty()) {
            problems.add(name + ", " + what + ": " + ids.size() + " " + ids.stream().limit(5).collect(Collectors.toList()));
        }
    }
}

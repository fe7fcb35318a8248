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
        final long first = System.nanoTime();
        final long firstMillis = System.currentTimeMillis();
    }

    /** An acknowledgement is with the store this long after the message came, or it met something. */
    private static final long ACKNOWLEDGED_NS = 5_000_000_000L;

    private final String name;
    /** When each message was given to send, whatever became of it. */
    private final Map<String, Long> begun = new ConcurrentHashMap<>();
    private final Set<String> acknowledged = ConcurrentHashMap.newKeySet();
    private final Map<String, Receipt> received = new ConcurrentHashMap<>();
    private final Set<String> inDoubt = ConcurrentHashMap.newKeySet();
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
            return receipt;
        });
    }

    /** Came in a transaction of which nobody knows what became. */
    void receiveInDoubt(String id) {
        inDoubt.add(id);
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

    private boolean isMissing(String id) {
        return !received.containsKey(id) && !inDoubt.contains(id);
    }

    /** How many acknowledged messages have not arrived yet. */
    long missing() {
        return acknowledged.stream().filter(this::isMissing).count();
    }

    /** Says what is wrong, or nothing. */
    void check(Collection<String> problems) {
        List<String> lost = acknowledged.stream().filter(this::isMissing).collect(Collectors.toList());
        report(problems, "lost", lost.stream().filter(id -> !dead.contains(id)).collect(Collectors.toList()));
        report(problems, "in the dead letter queue only", lost.stream().filter(dead::contains).collect(Collectors.toList()));
        if (acknowledged.isEmpty()) {
            problems.add(name + ": nothing was sent");
        }
        report(problems, "made up", received.keySet().stream().filter(id -> !begun.containsKey(id)).collect(Collectors.toList()));
    }

    /** Messages that came twice though no client lost its connection: who knows what the store went through may excuse them. */
    void printDoubled(Interruptions interruptions) {
        received.forEach((id, receipt) -> {
            long from = begun.getOrDefault(id, 0L);
            // Sent twice, or not acknowledged the first time: what happens later explains no second one.
            if (receipt.count > 1 && !interruptions.any(from, receipt.first + ACKNOWLEDGED_NS)) {
                long fromMillis = receipt.firstMillis - (receipt.first - from) / 1_000_000;
                System.out.println("DOUBLED " + id + " " + fromMillis + " " + receipt.firstMillis);
            }
        });
    }

    private void report(Collection<String> problems, String what, List<String> ids) {
        if (!ids.isEmpty()) {
            problems.add(name + ", " + what + ": " + ids.size() + " " + ids.stream().limit(5).collect(Collectors.toList()));
        }
    }
}

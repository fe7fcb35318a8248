import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** Which messages were acknowledged to producers, and how often each arrived. */
final class Journal {
    final Set<String> sent = ConcurrentHashMap.newKeySet();
    final Map<String, AtomicInteger> received = new ConcurrentHashMap<>();
    final List<String> sendErrors = Collections.synchronizedList(new ArrayList<>());

    void receive(String id) {
        received.computeIfAbsent(id, key -> new AtomicInteger()).incrementAndGet();
    }

    int duplicates() {
        return received.values().stream().mapToInt(count -> count.get() - 1).sum();
    }

    boolean complete() {
        return received.keySet().containsAll(sent);
    }

    /** Says what is wrong, or nothing. */
    void check(String what, Collection<String> problems) {
        Set<String> lost = new HashSet<>(sent);
        lost.removeAll(received.keySet());
        Set<String> madeUp = new HashSet<>(received.keySet());
        madeUp.removeAll(sent);
        report(problems, what + " lost", lost.size(), lost);
        report(problems, what + " received but never acknowledged", madeUp.size(), madeUp);
        report(problems, what + " duplicates", duplicates(), List.of());
        report(problems, what + " send errors", sendErrors.size(), sendErrors);
    }

    private static void report(Collection<String> problems, String what, int count, Collection<String> examples) {
        if (count > 0) {
            problems.add(what + ": " + count + " " + examples.stream().limit(3).toList());
        }
    }
}

import ApusBroker
import ApusModel
import ApusStore
import ApusTesting
import Testing

@Suite("A reader who may not read everything")
struct RestrictionTests {
    private func sample() throws -> TestLog {
        let log = try TestLog()
        try log.store.publish([
            Draft("open/a", "needle 1", isRetained: true), Draft("secret/a", "needle 2", isRetained: true),
            Draft("open/b", "straw", isRetained: true), Draft("$own/a", "needle 3", isRetained: true),
            Draft("secret", "needle 4", isRetained: true), Draft("open/a", "needle 5"),
        ])
        return log
    }

    /// Somebody who asks for everything.
    private func reader() throws -> FilterSet { try restricted(.all, ["#"], deny: ["secret/#"]) }

    @Test("finds no foreign row in the history, by whatever condition, and no foreign one among the last")
    func history() throws {
        let log = try sample()
        for (change, expected) in [
            ({ _ in }, [1, 3, 6]), ({ $0.grep = "needle" }, [1, 6]), ({ $0.last = 2 }, [3, 6]),
            ({ ($0.grep, $0.last) = ("needle", 2) }, [1, 6]),
            ({ ($0.fromSeq, $0.toSeq) = (2, 2) }, []), ({ ($0.fromSeq, $0.toSeq) = (4, 5) }, []),
        ] as [((inout HistoryConditions) -> Void, [Seq])] {
            var selection = HistorySelection(try reader())
            change(&selection.conditions)
            let bounds = try log.store.bounds(selection)
            let page = try log.store.history(
                HistoryRequest(
                    selection: selection, after: bounds.after, through: bounds.through, bytesMax: 1 << 20,
                    countMax: 100))
            #expect(page.messages.map(\.seq) == expected)
            #expect(page.topics.allSatisfy { $0.name.hasPrefix("open/") })
        }
    }

    @Test("is told of no foreign topic")
    func topics() throws {
        let log = try sample()
        let page = try log.store.topics(try reader(), afterID: 0, countMax: 100)
        #expect(page.rows.map(\.topic) == ["open/a", "open/b"])
        let narrow = try log.store.topics(
            try restricted(try filters("+/a"), ["#"], deny: ["secret/#"]), afterID: 0, countMax: 100)
        #expect(narrow.rows.map(\.topic) == ["open/a"])
    }

    @Test("gets no foreign retained message, whether there are few topics or many")
    func retained() throws {
        let log = try sample()
        for topics in [0, 100] {
            if topics > 0 {
                try log.store.publish((0..<topics).map { Draft("many/\($0)", isRetained: true) })
            }
            let through = log.store.head
            for (set, expected) in [
                (try reader(), 2 + topics),
                (try restricted(try filters("+/a", "many/+"), ["open/#", "many/+"]), 1 + topics),
            ] {
                let page = try log.store.retained(
                    PageRequest(filters: set, after: 0, through: through, bytesMax: 1 << 20, countMax: 1_000))
                #expect(page.messages.count == expected)
                #expect(page.topics.allSatisfy { !$0.name.hasPrefix("secret") && !$0.isReserved })
            }
        }
    }
}

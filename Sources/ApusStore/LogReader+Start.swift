internal import ApusBroker
internal import ApusModel

extension LogReader {
    /// The next step of looking up where a cursor has to stand so that the next message is the first one of a position.
    func start(_ lookUp: StartLookUp) throws(ApusError) -> LookUpStep<Seq, StartLookUp> {
        switch lookUp.position {
        case .now, .lastPerTopic: return .answer(try snapshot { $0.head })
        case .start: return .answer(try snapshot { $0.trimmedThrough })
        case .seq(let seq):
            // After an unclean stop the head is the end of the reservation, so whatever was handed out lies below it.
            let head = try snapshot { $0.head }
            guard seq <= head + 1 else {
                throw ApusError(
                    .logChanged, "seq \(seq) was never given out by this log, whose head is \(head)",
                    hint: "Is it the log that the position comes from? Subscribe from a position that makes sense here."
                )
            }
            return .answer(seq == 0 ? 0 : seq - 1)
        case .time(let time): return .answer(try snapshot { try self.seq(before: time, $0) })
        case .ago(let time):
            let (since, overflow) = settings.clock().subtractingReportingOverflow(time)
            return .answer(try snapshot { try self.seq(before: overflow ? .min : since, $0) })
        case .last(let count): return try last(count, lookUp)
        }
    }

    private func last(_ count: Int, _ lookUp: StartLookUp) throws(ApusError) -> LookUpStep<Seq, StartLookUp> {
        let step = try snapshot { snapshot in
            let range = SeqRange(after: snapshot.trimmedThrough, through: snapshot.head)
            var matcher: HistoryMatcher?
            return try walkBack(
                lookUp.walk ?? BackwardWalk(missing: count, range: range), lookUp.filters, snapshot, &matcher)
        }
        switch step {
        case .answer(let seq): return .answer(seq)
        case .goOn(let walk):
            var next = lookUp
            next.walk = walk
            return .goOn(next)
        }
    }

    /// The seq before the first message received at or after `time`; the head where there is none. Times never fall
    /// along the log, so halving finds it, holes or not.
    func seq(before time: Microseconds, _ snapshot: Snapshot) throws -> Seq {
        var low = snapshot.trimmedThrough
        var high = snapshot.head
        let next = try statements.firstAfter
        // Every message up to `low` is older; every one behind `high` is not.
        while low < high {
            let middle = low + (high - low) / 2
            next.bind(1, middle)
            let found = try next.first("looking for a time") { ($0.seq(0), $0.int(1)) }
            if let found, found.0 <= high, found.1 < time {
                low = found.0
            } else {
                high = middle
            }
        }
        return low
    }
}

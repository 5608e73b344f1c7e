internal import ApusBroker
internal import ApusModel

extension LogReader {
    /// The messages that match, from `request.after` on. It covers at most what the request bounds and what one call
    /// may read: where no row matched, `through` still says how far it got.
    func page(_ request: PageRequest) throws(ApusError) -> MessageBatch {
        try snapshot { snapshot in
            try batch(
                after: request.after, through: request.through, bytesMax: request.bytesMax,
                countMax: request.countMax, snapshot
            ) { builder, after, through in
                try walk(request.filters, after: after, through: through, snapshot) { try builder.offer($0) }
            }
        }
    }

    /// The frame of every page: what is above the head is not spoken for, what was deleted is a gap.
    func batch(
        after: Seq, through: Seq, bytesMax: Int, countMax: Int, _ snapshot: Snapshot,
        _ fill: (inout PageBuilder, Seq, Seq) throws -> Seq
    ) throws -> MessageBatch {
        let through = min(through, snapshot.head)
        var builder = PageBuilder(reader: self, after: after, bytesMax: bytesMax, countMax: max(1, countMax))
        guard after < through else { return builder.finish(through: after) }
        let trimmed = min(snapshot.trimmedThrough, through)
        if after < trimmed { builder.noteTrimmed(from: after + 1, through: trimmed) }
        let reached = try fill(&builder, max(after, trimmed), through)
        return builder.finish(through: reached)
    }

    /// Retained messages looked at in one call.
    private static let retainedMax = 16_384

    /// Likewise, of the retained messages.
    func retained(_ request: PageRequest) throws(ApusError) -> MessageBatch {
        try snapshot { snapshot in
            try batch(
                after: request.after, through: request.through, bytesMax: request.bytesMax,
                countMax: request.countMax, snapshot
            ) { builder, after, through in
                let found = try retainedSeqs(request.filters, after: after, through: through)
                for seq in found.seqs {
                    let statement = try statements.one
                    statement.bind(1, seq)
                    defer { statement.reset() }
                    guard try statement.step("reading a retained message") else { continue }
                    switch try builder.offer(StoredRow(statement: statement)) {
                    case .goOn: continue
                    case .stopBefore: return seq - 1
                    case .stopAfter: return seq
                    }
                }
                return found.through
            }
        }
    }

    private func retainedSeqs(
        _ filters: FilterSet, after: Seq, through: Seq
    ) throws -> (seqs: [Seq], through: Seq) {
        let plan = try plan(filters)
        if case .nothing = plan { return ([], through) }
        if case .few(let topics) = plan {
            let statement = try statements.retainedOfTopic
            var seqs: [Seq] = []
            for topic in topics {
                statement.bind(1, topic)
                if let seq = try statement.first("looking up a retained message", { $0.seq(0) }),
                    seq > after, seq <= through
                {
                    seqs.append(seq)
                }
            }
            return (seqs.sorted(), through)
        }
        let statement = try statements.retained
        statement.bind(1, after)
        statement.bind(2, through)
        statement.bind(3, Int64(LogReader.retainedMax))
        matcher.use(filters)
        defer { statement.reset() }
        var seqs: [Seq] = []
        var examined = 0
        var last = after
        while try statement.step("reading retained messages") {
            examined += 1
            last = statement.seq(0)
            if matcher.matches(statement.int(1)) { seqs.append(last) }
        }
        return (seqs, examined < LogReader.retainedMax ? through : last)
    }
}

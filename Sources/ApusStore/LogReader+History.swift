internal import ApusBroker
internal import ApusModel

extension LogReader {
    /// Payload and header bytes searched in one call.
    static let searchBytesMax = 32 << 20

    /// The next page of a history query.
    func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch {
        var matcher = HistoryMatcher(request.selection.conditions, reader: self)
        return try snapshot { snapshot in
            try batch(
                after: request.after, through: request.through, bytesMax: request.bytesMax,
                countMax: request.countMax, snapshot
            ) { builder, after, through in
                try walk(request.selection.filters, after: after, through: through, snapshot) { row in
                    guard try matcher?.matches(row) == false else { return try builder.offer(row) }
                    return (matcher?.bytes ?? 0) > LogReader.searchBytesMax ? .stopAfter : .goOn
                }
            }
        }
    }

    /// The next step of looking up where a history query begins and ends.
    func bounds(_ lookUp: BoundsLookUp) throws(ApusError) -> LookUpStep<SeqRange, BoundsLookUp> {
        try snapshot { snapshot in
            let selection = lookUp.selection
            let range = try lookUp.range ?? range(selection.conditions, snapshot)
            guard let last = selection.conditions.last else { return .answer(range) }
            var matcher = HistoryMatcher(selection.conditions, reader: self)
            let walk = lookUp.walk ?? BackwardWalk(missing: last, range: range)
            switch try walkBack(walk, selection.filters, snapshot, &matcher) {
            case .answer(let after): return .answer(SeqRange(after: after, through: range.through))
            case .goOn(let walk):
                var next = lookUp
                next.range = range
                next.walk = walk
                return .goOn(next)
            }
        }
    }

    /// The same without `last`: what halving finds.
    private func range(_ conditions: HistoryConditions, _ snapshot: Snapshot) throws -> SeqRange {
        var after = snapshot.trimmedThrough
        var through = snapshot.head
        if let from = conditions.fromSeq { after = max(after, from == 0 ? 0 : from - 1) }
        if let to = conditions.toSeq { through = min(through, to) }
        if let since = conditions.since { after = max(after, try seq(before: since, snapshot)) }
        if let until = conditions.until { through = min(through, try seq(before: until, snapshot)) }
        return SeqRange(after: after, through: max(after, through))
    }
}

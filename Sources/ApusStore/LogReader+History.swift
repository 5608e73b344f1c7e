internal import ApusBroker
internal import ApusModel

extension LogReader {
    /// Payload and header bytes searched in one call.
    static let searchBytesMax = 32 << 20

    /// The next page of a history query.
    func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch {
        var matcher = HistoryMatcher(reader: self, selection: request.selection)
        let isNeeded = HistoryMatcher.isNeeded(request.selection)
        return try snapshot { snapshot in
            try batch(
                after: request.after, through: request.through, bytesMax: request.bytesMax,
                countMax: request.countMax, snapshot
            ) { builder, after, through in
                try walk(request.selection.filters, after: after, through: through, snapshot) { row in
                    if isNeeded, try !matcher.matches(row) {
                        return matcher.bytes > LogReader.searchBytesMax ? .stopAfter : .goOn
                    }
                    return try builder.offer(row)
                }
            }
        }
    }

    /// The next step of looking up where a history query begins and ends.
    func bounds(_ lookUp: BoundsLookUp) throws(ApusError) -> LookUpStep<SeqRange, BoundsLookUp> {
        try snapshot { snapshot in
            let selection = lookUp.selection
            let range = try lookUp.range ?? range(selection, snapshot)
            guard let last = selection.last else { return .answer(range) }
            var matcher: HistoryMatcher?
            if HistoryMatcher.isNeeded(selection) { matcher = HistoryMatcher(reader: self, selection: selection) }
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
    private func range(_ selection: HistorySelection, _ snapshot: Snapshot) throws -> SeqRange {
        var after = snapshot.trimmedThrough
        var through = snapshot.head
        if let from = selection.fromSeq { after = max(after, from == 0 ? 0 : from - 1) }
        if let to = selection.toSeq { through = min(through, to) }
        if let since = selection.since { after = max(after, try seq(before: since, snapshot)) }
        if let until = selection.until { through = min(through, try seq(before: until, snapshot)) }
        return SeqRange(after: after, through: max(after, through))
    }
}

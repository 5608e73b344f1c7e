internal import ApusBroker
internal import ApusModel

extension LogReader {
    /// Payload and header bytes searched in one call.
    private static let searchBytesMax = 32 << 20

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

    /// Where a history query begins and ends.
    func bounds(_ selection: HistorySelection) throws(ApusError) -> (after: Seq, through: Seq) {
        var bounds = try snapshot { snapshot in
            var after = snapshot.trimmedThrough
            var through = snapshot.head
            if let from = selection.fromSeq { after = max(after, from == 0 ? 0 : from - 1) }
            if let to = selection.toSeq { through = min(through, to) }
            if let since = selection.since { after = max(after, try seq(before: since, snapshot)) }
            if let until = selection.until { through = min(through, try seq(before: until, snapshot)) }
            return (after: after, through: max(after, through))
        }
        if let last = selection.last { bounds.after = try self.last(last, selection, bounds) }
        return bounds
    }

    /// The seq before the last `count` rows that match all conditions.
    private func last(
        _ count: Int, _ selection: HistorySelection, _ bounds: (after: Seq, through: Seq)
    ) throws(ApusError) -> Seq {
        guard HistoryMatcher.isNeeded(selection) else {
            return try self.last(count, selection.filters, bounds, accept: nil)
        }
        var matcher = HistoryMatcher(reader: self, selection: selection)
        return try self.last(count, selection.filters, bounds) { try matcher.matches($0) }
    }
}

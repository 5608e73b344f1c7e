package import ApusModel

/// What one step of a look-up brought.
///
/// A look-up that may have to go over the whole log does so in steps: each is one short read transaction with a bounded
/// amount of work, so that whoever shares its thread waits for one step at most. What it has found so far is a value;
/// nothing is kept in the store, and a look-up that nobody wants any more is simply not continued.
package enum LookUpStep<Answer: Sendable, LookUp: Sendable>: Sendable {
    case answer(Answer)
    /// Not there yet: the same look-up, further on.
    case goOn(LookUp)
}

/// Seqs behind `after`, up to and including `through`.
package struct SeqRange: Hashable, Sendable {
    package var after: Seq
    package var through: Seq

    package init(after: Seq, through: Seq) {
        self.after = after
        self.through = through
    }
}

/// How far a search for the last so many messages has walked back.
package struct BackwardWalk: Hashable, Sendable {
    /// Matching messages that are still to be found.
    package var missing: Int
    /// Where they can still be.
    package var range: SeqRange

    package init(missing: Int, range: SeqRange) {
        self.missing = missing
        self.range = range
    }
}

/// Where a cursor has to stand so that the next message is the first one of `position`.
package struct StartLookUp: Hashable, Sendable {
    package let position: StartPosition
    package let filters: FilterSet
    /// For `last`, from its second step on.
    package var walk: BackwardWalk?

    package init(_ position: StartPosition, filters: FilterSet) {
        self.position = position
        self.filters = filters
    }
}

/// Where a history query begins and ends: the seqs before its first and of its last possible row.
package struct BoundsLookUp: Hashable, Sendable {
    package let selection: HistorySelection
    /// From the second step on.
    package var range: SeqRange?
    package var walk: BackwardWalk?

    package init(_ selection: HistorySelection) { self.selection = selection }
}

/// A page of topics, in the order of their ids, with how many messages each has.
package struct TopicsLookUp: Sendable {
    package let filters: FilterSet
    package let afterID: Int64
    package let countMax: Int
    /// Of their texts. One topic may go over it, so that a page is never empty because of it. It bounds what a look-up
    /// that is on its way keeps.
    package let bytesMax: Int
    /// From the second step on.
    package var count: TopicCount?

    package init(_ filters: FilterSet, afterID: Int64, countMax: Int, bytesMax: Int) {
        self.filters = filters
        self.afterID = afterID
        self.countMax = countMax
        self.bytesMax = bytesMax
    }
}

/// Messages counted so far, of the topics of one page.
package struct TopicCount: Sendable {
    /// Ascending; parallel to the page's rows.
    package let ids: [Int64]
    package var page: TopicPage
    /// What is still to be counted. It ends where the log ended at the first step: a log that grows faster than it is
    /// counted is no endless count.
    package var range: SeqRange

    package init(ids: [Int64], page: TopicPage, range: SeqRange) {
        self.ids = ids
        self.page = page
        self.range = range
    }

    /// Adds to a topic's count, if it is on the page.
    package mutating func add(_ id: Int64, messages: UInt64, lastSeq: Seq) {
        guard let index = index(of: id) else { return }
        page.rows[index].messages += messages
        page.rows[index].lastSeq = max(page.rows[index].lastSeq, lastSeq)
    }

    package func index(of id: Int64) -> Int? {
        var low = 0
        var high = ids.count
        while low < high {
            let middle = (low + high) / 2
            if ids[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < ids.count && ids[low] == id ? low : nil
    }
}

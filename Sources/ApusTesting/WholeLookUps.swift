package import ApusBroker
package import ApusModel

// Look-ups to their end, for tests of the answer.

extension LogStore {
    package func start(_ position: StartPosition, filters: FilterSet) throws(ApusError) -> Seq {
        var lookUp = StartLookUp(position, filters: filters)
        while true {
            switch try start(lookUp) {
            case .answer(let seq): return seq
            case .goOn(let next): lookUp = next
            }
        }
    }
}

extension LogQueries {
    package func bounds(_ selection: HistorySelection) throws(ApusError) -> SeqRange {
        var lookUp = BoundsLookUp(selection)
        while true {
            switch try bounds(lookUp) {
            case .answer(let range): return range
            case .goOn(let next): lookUp = next
            }
        }
    }

    package func topics(
        _ filters: FilterSet, afterID: Int64, countMax: Int, bytesMax: Int = 1 << 20
    ) throws(ApusError) -> TopicPage {
        var lookUp = TopicsLookUp(filters, afterID: afterID, countMax: countMax, bytesMax: bytesMax)
        while true {
            switch try topics(lookUp) {
            case .answer(let page): return page
            case .goOn(let next): lookUp = next
            }
        }
    }
}

import ApusModel
import Testing

@Suite("The tables")
struct TableTests {
    @Test("Every limit has a name of its own, a unit, a meaning, and a default within its range")
    func limits() throws {
        #expect(Set(Limits.table.map(\.name)).count == Limits.table.count)
        for row in Limits.table {
            let name = "\(row.name)"
            #expect(row.range.contains(row.value(in: .defaults)), "\(name)")
            #expect(!row.unit.isEmpty && row.meaning.hasSuffix("."), "\(name)")
            #expect(row.name.allSatisfy { ($0.isLowercase && $0.isASCII) || $0 == "-" }, "\(name)")
        }
    }

    @Test("Every stored limit stands in the table, and no two rows set the same one")
    func limitsAreComplete() throws {
        var limits = Limits.defaults
        for (index, row) in Limits.table.enumerated() {
            // A value that tells the rows apart, where the range allows it.
            let value = row.range.lowerBound + min(index, row.range.upperBound - row.range.lowerBound)
            try row.set(value, in: &limits)
            #expect(row.value(in: limits) == value)
        }
        let fields = Mirror(reflecting: limits).children
        #expect(fields.count == Limits.table.count)
        for (index, row) in Limits.table.enumerated() {
            let value = row.range.lowerBound + min(index, row.range.upperBound - row.range.lowerBound)
            #expect(row.value(in: limits) == value, "\(row.name) was set by another row")
        }
    }

    @Test("A limit outside of its range is refused, and nothing changes")
    func limitRanges() {
        for row in Limits.table {
            var limits = Limits.defaults
            for value in [row.range.lowerBound - 1, row.range.upperBound + 1] {
                #expect(code { () throws(ApusError) in try row.set(value, in: &limits) } == .usage, "\(row.name)")
            }
            #expect(limits == .defaults)
        }
    }

    @Test("No limit can be set beyond what the protocol can say")
    func limitsFitTheWire() {
        for row in Limits.table where row.name == "max-header-bytes" { #expect(row.range.upperBound == 65_535) }
        for row in Limits.table where row.name == "max-message-bytes" {
            #expect(row.range.upperBound <= Int(UInt32.max))
        }
    }

    @Test("Every error code differs from the others and is written in lower case with hyphens")
    func errorCodes() {
        let names = ApusError.Code.allCases.map(\.rawValue)
        #expect(Set(names).count == names.count)
        for name in names { #expect(name.allSatisfy { ($0.isLowercase && $0.isASCII) || $0 == "-" }, "\(name)") }
    }

    @Test("An error says what is wrong, its code, and what to do")
    func errorText() {
        let error = ApusError(.tooMany, "more than 3 things", hint: "Use fewer.")
        #expect(error.description == "more than 3 things (too-many). Use fewer.")
        #expect(ApusError(.closed, "it is closed").description == "it is closed (closed)")
        #expect(!error.isFatal)
        #expect(ApusError.fatal(.idOrder, "m").isFatal)
    }

    @Test("Only refusals that may pass let the same publish be sent again")
    func passingRefusals() {
        let passing = ApusError.Code.allCases.filter { ApusError($0, "").mayPassLater }
        #expect(Set(passing) == [.storageFull, .logBusy, .commitUnknown, .fenced, .goingAway, .busy])
    }

    @Test("Ack levels are ordered by what they promise, and named as on the wire")
    func ackLevels() {
        #expect(AckLevel.none < .stored && AckLevel.stored < .synced)
        for level in AckLevel.allCases { #expect(AckLevel(name: level.name) == level) }
        #expect(AckLevel(name: "Synced") == nil && AckLevel(name: "") == nil)
        #expect(AckLevel.allCases.map(\.rawValue) == [0, 1, 2])
    }
}

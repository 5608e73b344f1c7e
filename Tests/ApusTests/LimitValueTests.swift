import ApusModel
import ArgumentParser
import Testing

@testable import apus

@Suite("A limit on the command line")
struct LimitValueTests {
    @Test("is a number, or one with K, M, G or T behind it")
    func reads() {
        let cases = [("0", 0), ("4096", 4_096), ("64K", 65_536), ("64KiB", 65_536), ("1M", 1 << 20), ("2GiB", 2 << 30)]
        for (text, number) in cases { #expect(LimitValue(argument: text)?.number == number, "\(text)") }
    }

    @Test("is nothing else")
    func refuses() {
        for text in ["", "K", "iB", "64iB", "1.5M", "64m", "64 M", "9223372036854775807K", "x"] {
            #expect(LimitValue(argument: text) == nil, "\(text)")
        }
    }

    @Test("has a flag for every row of the table")
    func complete() throws {
        #expect(try LimitOptions.parse([]).given.map(\.name) == Limits.table.map(\.name))
    }
}

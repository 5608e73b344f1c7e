import ApusModel
import ApusSettings
import ArgumentParser
import Testing

@testable import apus

@Suite("A limit on the command line")
struct LimitValueTests {
    @Test("has a flag for every row of the table")
    func complete() throws {
        #expect(try LimitOptions.parse([]).given.map(\.name) == Limits.table.map(\.name))
    }

    @Test("comes to the settings as it was written")
    func text() throws {
        let command = try ServeCommand.parse(["--tail-bytes", "64M", "--drain-time", "2m"])
        let settings = try command.loader(environment: [:]).load().settings
        #expect(settings.limits.tailBytesMax == 64 << 20)
        #expect(settings.limits.drainSeconds == 120)
        #expect(settings.limitOrigin("drain-time") == .flag("--drain-time"))
    }
}

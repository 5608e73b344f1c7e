import ApusBroker
import ApusModel
import Testing

@Suite("A run of published messages")
struct PublishedRunTests {
    private let run = PublishedRun(lastID: 5, count: 2, lastSeq: 12, level: .synced)

    @Test("takes in the run that follows it")
    func merges() {
        var merged = run
        let isMerged = merged.merge(PublishedRun(lastID: 9, count: 3, lastSeq: 15, level: .synced))
        #expect(isMerged)
        #expect(merged == PublishedRun(lastID: 9, count: 5, lastSeq: 15, level: .synced))
    }

    @Test(
        "does not take in what it does not continue",
        arguments: [
            PublishedRun(lastID: 6, count: 1, lastSeq: 14, level: .synced),
            PublishedRun(lastID: 6, count: 2, lastSeq: 13, level: .synced),
            PublishedRun(lastID: 6, count: 1, lastSeq: 13, level: .stored),
            PublishedRun(lastID: nil, count: 1, lastSeq: 13, level: .synced),
            PublishedRun(lastID: 6, count: 1, lastSeq: 13, level: .synced, isDuplicate: true),
        ])
    func refuses(_ next: PublishedRun) {
        var merged = run
        let isMerged = merged.merge(next)
        #expect(!isMerged)
        #expect(merged == run, "a run that was not merged is not changed")
    }

    @Test("takes in duplicates, whose seqs nobody looked up")
    func mergesDuplicates() {
        var run = PublishedRun(lastID: 5, count: 5, lastSeq: 0, level: .synced, isDuplicate: true)
        let isMerged = run.merge(PublishedRun(lastID: 6, count: 1, lastSeq: 0, level: .synced, isDuplicate: true))
        #expect(isMerged)
        #expect(run == PublishedRun(lastID: 6, count: 6, lastSeq: 0, level: .synced, isDuplicate: true))
    }
}

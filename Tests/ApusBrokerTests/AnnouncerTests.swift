import ApusModel
import ApusTesting
import Testing

@testable import ApusBroker

/// A hub that only writes down what it is told.
struct RecordingPort: HubPort {
    let posted = Watched<[Announcement]>([])

    func post(_ announcement: Announcement) { posted.change { $0.append(announcement) } }
}

@Suite("The announcer")
struct AnnouncerTests {
    private let announcer = Announcer(head: 5)
    private let ports = [RecordingPort(), RecordingPort(), RecordingPort()]

    init() {
        for port in ports { announcer.add(port) }
    }

    private var counts: [Int] { ports.map(\.posted.value.count) }

    private func announce(hub: Int, batch: MessageBatch?, freed: Set<Int> = []) throws {
        announcer.announce(
            items: [.publish(try submission(["a"], hub: hub))],
            outcome: CommitOutcome(batch: batch, answers: [.publish([])]), freed: freed)
    }

    @Test("hops only to loops that publish, subscribe or wait for room")
    func hopsWhereNeeded() throws {
        try announce(hub: 1, batch: try batch(after: 5, seqs: [6]))
        #expect(counts == [0, 1, 0])
        #expect(ports[1].posted.value[0].batch == nil, "nobody there subscribes")
        #expect(ports[1].posted.value[0].answers.count == 1)

        #expect(announcer.subscribe(hub: 2) == 6)
        try announce(hub: 1, batch: try batch(after: 6, seqs: [7]))
        #expect(counts == [0, 2, 1])
        #expect(ports[2].posted.value[0].answers.isEmpty)
        #expect(ports[2].posted.value[0].batch?.through == 7)

        announcer.unsubscribe(hub: 2)
        try announce(hub: 1, batch: try batch(after: 7, seqs: [8]), freed: [0])
        #expect(counts == [1, 3, 1])
        #expect(ports[0].posted.value[0].hasRoom)
    }

    @Test("says from which seq on a loop hears everything")
    func saysWhereInterestBegins() throws {
        #expect(announcer.subscribe(hub: 0) == 5)
        try announce(hub: 1, batch: try batch(after: 5, seqs: [6, 7]))
        #expect(announcer.through == 7)
        #expect(announcer.subscribe(hub: 2) == 7)
        try announce(hub: 1, batch: nil)
        #expect(announcer.through == 7)
    }

    @Test("an answer goes to the loop of its connection, with the bytes that it frees")
    func routesAnswers() throws {
        let first = try submission(["a"], from: 3, hub: 2)
        announcer.announce(
            items: [
                .publish(first),
                .openPublisher(OpenPublisher(connection: ConnectionID(hub: 0, number: 9), user: "", name: "p")),
            ],
            outcome: CommitOutcome(
                batch: nil,
                answers: [.publish([]), .opened(PublisherHandle(rowID: 1, epoch: 1), lastID: 0)]), freed: [])
        #expect(counts == [1, 0, 1])
        #expect(ports[2].posted.value[0].answers[0].connection == first.connection)
        #expect(ports[2].posted.value[0].answers[0].bytes == first.bytes)
        #expect(ports[0].posted.value[0].answers[0].connection.number == 9)
    }
}

internal import ApusClient
internal import ApusModel

/// Receipts of published messages on standard output. Publishing goes on where nobody reads them.
struct ReceiptPrinter {
    enum Form { case none, text, json }

    private let form: Form
    private let topic: String
    private let output = Output(whenClosed: .discards)

    init(form: Form, topic: String) {
        self.form = form
        self.topic = topic
    }

    var isWanted: Bool { form != .none }

    /// A line for each message, also for one that was refused: the lines stay in the messages' order.
    func print(_ results: [Result<Receipt, ApusError>]) {
        guard form != .none else { return }
        if form == .json {
            output.writeJSON { out in
                for result in results { Self.appendJSON(result, topic, to: &out) }
            }
        } else {
            output.write { out in
                for result in results { Self.appendText(result, to: &out) }
            }
        }
    }

    func flush() { output.flush() }

    /// `seq 42 synced`; a duplicate's seq and that of level none are not known.
    static func appendText(_ result: Result<Receipt, ApusError>, to out: inout [UInt8]) {
        let text =
            switch result {
            case .success(let receipt) where receipt.isDuplicate: "duplicate, recorded before"
            case .success(let receipt) where receipt.level == .none: "sent, not acknowledged"
            case .success(let receipt): "seq \(receipt.seq) \(receipt.level.name)"
            case .failure(let error): "\(PublishTally.fate(error)) \(error.code.rawValue)"
            }
        out += "\(text)\n".utf8
    }

    static func appendJSON(_ result: Result<Receipt, ApusError>, _ topic: String, to out: inout [UInt8]) {
        var members = [JSON.Member("topic", .string(topic))]
        switch result {
        case .success(let receipt):
            members.append(JSON.Member("level", .string(receipt.level.name)))
            if receipt.seq > 0 { members.insert(JSON.Member("seq", .unsigned(receipt.seq)), at: 0) }
            if receipt.isDuplicate { members.append(JSON.Member("duplicate", .bool(true))) }
        case .failure(let error):
            members.append(JSON.Member("error", .string(error.code.rawValue)))
            members.append(JSON.Member("message", .string(error.message)))
            if error.isOutcomeUnknown { members.append(JSON.Member("unknown", .bool(true))) }
        }
        out += JSON.object(members).bytes
        out.append(0x0A)
    }
}

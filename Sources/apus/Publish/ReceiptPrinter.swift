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

    func print(_ receipts: [Receipt]) {
        guard form != .none else { return }
        if form == .json {
            output.writeJSON { out in
                for receipt in receipts { Self.appendJSON(receipt, topic, to: &out) }
            }
        } else {
            output.write { out in
                for receipt in receipts { Self.appendText(receipt, to: &out) }
            }
        }
    }

    func flush() { output.flush() }

    /// `seq 42 synced`; a duplicate's seq and that of level none are not known.
    static func appendText(_ receipt: Receipt, to out: inout [UInt8]) {
        if receipt.isDuplicate {
            out += "duplicate, recorded before\n".utf8
        } else if receipt.level == .none {
            out += "sent, not acknowledged\n".utf8
        } else {
            out += "seq \(receipt.seq) \(receipt.level.name)\n".utf8
        }
    }

    static func appendJSON(_ receipt: Receipt, _ topic: String, to out: inout [UInt8]) {
        var members = [JSON.Member("topic", .string(topic)), JSON.Member("level", .string(receipt.level.name))]
        if receipt.seq > 0 { members.insert(JSON.Member("seq", .unsigned(receipt.seq)), at: 0) }
        if receipt.isDuplicate { members.append(JSON.Member("duplicate", .bool(true))) }
        out += JSON.object(members).bytes
        out.append(0x0A)
    }
}

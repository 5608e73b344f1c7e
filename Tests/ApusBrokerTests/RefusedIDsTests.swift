import ApusBroker
import ApusModel
import Testing

@Suite("Refused ids")
struct RefusedIDsTests {
    @Test("are known one by one, runs of them take one place")
    func known() {
        var refused = RefusedIDs()
        for id in UInt64(5)...7 { refused.add(id, .notAllowed) }
        refused.add(8, .tooMany)
        refused.add(20, .tooMany)
        refused.add(20, .notAllowed)
        refused.add(3, .notAllowed)
        #expect(refused.text == "5-7:not-allowed 8-8:too-many 20-20:too-many")
        for id in UInt64(5)...7 { #expect(refused.code(of: id) == .notAllowed) }
        for id in [UInt64(8), 20] { #expect(refused.code(of: id) == .tooMany) }
        for id in [UInt64(0), 3, 4, 9, 19, 21, .max] { #expect(refused.code(of: id) == nil) }
        #expect(refused.error(of: 6)?.code == .notAllowed)
    }

    @Test("come back from the file, and what stands there by mistake is left out")
    func text() {
        var refused = RefusedIDs()
        refused.add(1, .tooMany)
        refused.add(3, .invalidEncoding)
        #expect(RefusedIDs(text: refused.text) == refused)
        #expect(RefusedIDs(text: "").isEmpty)
        let damaged =
            "x 1 2-1:too-many 1-1 :a - 1-2:dance 18446744073709551615-18446744073709551615:too-many 4-4:too-many"
        #expect(RefusedIDs(text: damaged).text == "4-4:too-many")
    }

    @Test("are bounded: the newest runs are kept")
    func bounded() {
        var refused = RefusedIDs()
        for id in UInt64(1)...1_000 { refused.add(2 * id, .tooMany) }
        #expect(refused.text.split(separator: " ").count == RefusedIDs.runsMax)
        #expect(refused.code(of: 2_000) == .tooMany)
        #expect(refused.code(of: 2) == nil)
    }

    @Test("are put in order with others, and what an earlier commit has used up is left out")
    func merged() {
        var (before, stored) = (RefusedIDs(), RefusedIDs())
        for id in [UInt64(2), 3, 9] { before.add(id, .notAllowed) }
        let all = before.with([(id: 4, code: .notAllowed), (id: 6, code: .tooMany)])
        #expect(all.text == "2-4:not-allowed 6-6:too-many 9-9:not-allowed")
        stored.add(all, behind: 5)
        #expect(stored.text == "6-6:too-many 9-9:not-allowed")
        var later = RefusedIDs()
        later.add(all, behind: 2)
        #expect(later.text == "3-4:not-allowed 6-6:too-many 9-9:not-allowed", "also in the middle of a run")
    }
}

import ApusBroker
import ApusModel
import Foundation
import HTTPTypes
import Testing

@testable import ApusHTTP

@Suite("The pages of the HTTP door")
struct HTTPPagesTests {
    @Test("need a login for metrics where one is asked for, and for nothing else")
    func authorization() async {
        let pages = HTTPPages.simple {
            $0.authorize = { credentials, _ in
                switch credentials {
                case .password("ada", "c:d"): .granted
                case .password("bob", _), .token("read-only"): .refused
                default: .unknown
                }
            }
        }
        func basic(_ pair: String) -> String { "Basic \(Data(pair.utf8).base64EncodedString())" }
        let cases: [(String?, Int, String)] = [
            (nil, 401, "need a login"), (basic("ada:c:d"), 200, "apus_"), (basic("ada:wrong"), 401, "is wrong"),
            (basic("bob:x"), 403, "lacks"), ("bearer read-only", 403, "lacks"), ("Bearer x", 401, "is wrong"),
            ("Bearer", 401, "cannot be read"), ("Basic ???", 401, "cannot be read"),
            ("Digest x", 401, "cannot be read"),
            ("Basic \(Data([0xFF, 0x3A, 0x61]).base64EncodedString())", 401, "cannot be read"),
        ]
        for (field, status, words) in cases {
            let reply = await pages.reply(.get, path: "/metrics", authorization: field)
            #expect(reply.status.code == status, "\(field ?? "none")")
            #expect(reply.body.contains(words), "\(reply.body)")
            #expect((reply.challenge != nil) == (status == 401))
            #expect(reply.body.contains("apus_connections") == (status == 200))
        }
        for path in ["/", "/healthz", "/readyz"] {
            let reply = await pages.reply(.get, path: path, authorization: nil)
            #expect(reply.status == .ok)
        }
    }

    @Test("say why the broker is not ready, and that it is stuck")
    func notReady() async {
        let pages = HTTPPages.simple {
            $0.reasonsNotReady = { [.init(code: "storage-full", message: "no room")] }
            $0.isAlive = { false }
        }
        let ready = await pages.reply(.get, path: "/readyz", authorization: nil)
        #expect(ready.status == .serviceUnavailable)
        #expect(
            ready.body == #"{"ready":false,"reasons":[{"code":"storage-full","message":"no room"}]}"# + "\n")
        let health = await pages.reply(.get, path: "/healthz", authorization: nil)
        #expect(health.status == .serviceUnavailable)
        #expect(health.body.contains(#""code":"stuck""#))
    }
}

internal import ApusModel
internal import HTTPTypes
internal import NIOCore

/// An answer as a value: what the door decided, before anything is written.
struct HTTPReply: Hashable, Sendable {
    var status: HTTPResponse.Status
    var contentType: String
    var body: String
    var allow: String?
    var challenge: String?

    static func text(_ body: String) -> HTTPReply {
        HTTPReply(status: .ok, contentType: "text/plain; charset=utf-8", body: body)
    }

    static func json(_ status: HTTPResponse.Status, _ json: JSON) -> HTTPReply {
        HTTPReply(status: status, contentType: "application/json", body: json.text + "\n")
    }

    /// `code` is one of the broker's stable words where one fits.
    static func problem(
        _ status: HTTPResponse.Status, code: String, _ message: String, hint: String? = nil
    ) -> HTTPReply {
        var members = [JSON.Member("code", .string(code)), JSON.Member("message", .string(message))]
        if let hint { members.append(JSON.Member("hint", .string(hint))) }
        return json(status, .object([JSON.Member("error", .object(members))]))
    }

    var head: HTTPResponse {
        var fields = HTTPFields()
        fields[.contentType] = contentType
        fields[.contentLength] = String(body.utf8.count)
        // Figures of this moment, for who asked.
        fields[.cacheControl] = "no-store"
        fields[.xContentTypeOptions] = "nosniff"
        if let allow { fields[.allow] = allow }
        if let challenge { fields[.wwwAuthenticate] = challenge }
        return HTTPResponse(status: status, headerFields: fields)
    }
}
